"""What a field's name says about its value, in the spelling of any vendor: camelCase, snake_case, dotted, glued."""

import re
from collections.abc import Sequence
from functools import lru_cache

from inference.egress.kinds import ValueKind

_TOKEN = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[^\W\d_A-Za-z]+")
_MAX_TOKENS = 8

_SECRET_ENDINGS = (
    "password", "passwd", "passphrase", "pwd", "passwort", "kennwort", "senha", "contraseña", "contrasena",
    "motdepasse",
    "secret", "token", "apikey", "accesskey", "accountkey", "privatekey", "secretkey", "sharedkey", "masterkey",
    "signingkey", "encryptionkey", "storagekey", "authkey", "clientkey", "licensekey", "sastoken", "accesssignature",
    "secretkeybase", "dbpass", "rootpass", "userpass", "adminpass", "passwords", "passphrases", "amzsignature",
    "amzcredential", "authorization", "cookie", "sessionid", "sessid", "sessionkey", "credentials",
)  # fmt: skip
_SECRET_NAMES = {"pw", "pass", "pin", "cvv", "cvc", "otp", "passcode", "ntlm", "nthash", "lmhash"}
# In a URL's query these carry what opens it; anywhere else they are a rule's name or a number.
QUERY_SECRETS = {
    "sig",
    "signature",
    "sid",
    "key",
    "code",
    "auth",
    "ticket",
    "assertion",
    "hash",
    "state",
    "nonce",
}
_NO_SECRETS = ("nopasswd", "nextpagetoken", "nexttoken", "continuationtoken")

_ATTRIBUTES = {
    "name",
    "id",
    "uid",
    "full",
    "display",
    "sam",
    "value",
    "string",
    "netbios",
    "text",
    "key",
}
_USER_NOUNS = {
    "user", "username", "users", "uname", "account", "principal", "actor", "owner", "caller", "suser",
    "duser", "upn", "employee", "customer", "requester", "requestor", "assignee", "reporter", "author", "sender",
    "recipient", "recipients", "contact", "identity", "mailbox", "person", "member", "holder", "cardholder", "sudoer",
    "usr", "usuario", "usuário", "benutzer", "utilisateur", "invoker", "impersonator", "victim",
}  # fmt: skip
_USER_ENDINGS = (
    "username",
    "userid",
    "logonname",
    "loginname",
    "accountname",
    "principalname",
    "alternateid",
)
_BY = {
    "created",
    "published",
    "modified",
    "requested",
    "initiated",
    "updated",
    "deleted",
    "approved",
    "reported",
    "run",
}
_HOST_NOUNS = {
    "host",
    "hosts",
    "computer",
    "workstation",
    "machine",
    "hostname",
    "fqdn",
    "dvchost",
    "shost",
    "dhost",
    "dns",
}
_HOST_ENDINGS = (
    "hostname",
    "computername",
    "machinename",
    "workstationname",
    "devicename",
    "servername",
    "fqdn",
)
_HOST_NAMED = {"device", "server", "asset", "endpoint", "node", "client", "instance", "vm", "agent"}
_PHONES = (
    "phone",
    "phonenumber",
    "mobile",
    "msisdn",
    "telephone",
    "tel",
    "fax",
    "cellphone",
    "whatsapp",
    "telefono",
)
_CARDS = ("cardnumber", "cardno", "creditcard", "pan", "ccnumber", "primaryaccountnumber")
_SSNS = ("ssn", "socialsecuritynumber", "socialsecurity", "itin", "taxid", "nationalid")
_IBANS = ("iban", "accountnumber", "accountno", "bankaccount")
_MACS = ("mac", "macaddress", "macaddr", "hwaddr", "hardwareaddress", "bssid")


def kind_of(path: Sequence[str]) -> ValueKind | None:
    """The kind of value that the field at `path` holds, None where its name promises nothing."""
    # A name alone has to mean at least as much as with its parents: printed as JSON only the name is beside the value.
    return _kind_of(tuple(path[-3:])) or _kind_of(tuple(path[-1:]))


@lru_cache(maxsize=4096)  # Names of fields, most of which come again with every event of a source.
def _kind_of(path: tuple[str, ...]) -> ValueKind | None:
    tokens = [token.lower() for part in path for token in _TOKEN.findall(part[:200])][-_MAX_TOKENS:]
    own = [token.lower() for token in _TOKEN.findall(path[-1][:200])] if path else []
    if not own:
        return None
    return _numbered(own) or _secret(tokens, own) or _named(tokens, own)


def _numbered(own: list[str]) -> ValueKind | None:
    glued = "".join(own[-3:])
    tables: tuple[tuple[ValueKind, tuple[str, ...]], ...] = (
        ("ssn", _SSNS), ("card", _CARDS), ("iban", _IBANS), ("phone", _PHONES), ("mac", _MACS),
    )  # fmt: skip
    return next(
        (
            kind
            for kind, names in tables
            if glued in names or own[-1] in names or glued.endswith(names[:1])
        ),
        None,
    )


def _secret(tokens: list[str], own: list[str]) -> ValueKind | None:
    while len(tokens) > 1 and tokens[-1] in {"hash", "value", "plain", "text", "string", "raw"}:
        tokens, own = tokens[:-1], own[:-1] or tokens[-2:-1]
    glued = "".join(own)
    if glued.endswith(_NO_SECRETS):
        return None
    return "secret" if glued.endswith(_SECRET_ENDINGS) or own[-1] in _SECRET_NAMES else None


def _named(tokens: list[str], own: list[str]) -> ValueKind | None:
    glued = "".join(own)
    if glued.endswith(_USER_ENDINGS) or (len(own) > 1 and own[-1] == "by" and own[-2] in _BY):
        return "user"
    if glued.endswith(_HOST_ENDINGS):
        return "host"
    kept = list(tokens)
    while len(kept) > 1 and kept[-1] in _ATTRIBUTES:
        kept.pop()
    if kept[-1] in _USER_NOUNS or kept in (["login"], ["logon"]):
        return "user"
    if kept[-1] in _HOST_NOUNS or (
        kept[-1] in _HOST_NAMED and len(kept) < len(tokens) and tokens[-1] == "name"
    ):
        return "host"
    return None
