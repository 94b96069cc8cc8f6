"""Tells from the name of a field what kind of value it holds.

The name can be spelled as any vendor spells it: camelCase, snake_case, with dots, or as one word.
"""

import re
from collections.abc import Sequence
from functools import lru_cache

from inference.egress.detectors.secret_words import AMBIGUOUS, FIELD_ENDINGS
from inference.egress.kinds import ValueKind
from inference.egress.letters import plain_letters
from inference.egress.normalization import normalise

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[^\W\d_A-Za-z]+")
_MAX_WORDS = 8
_MAX_PART_CHARS = 200

_SECRET_ENDINGS: tuple[str, ...] = (
    "password", "passwd", "passphrase", "pwd", "secret", "token", "apikey", "accesskey",
    "accountkey", "privatekey", "secretkey", "sharedkey",
    "masterkey", "signingkey", "encryptionkey", "storagekey", "authkey", "clientkey", "licensekey",
    "sastoken", "accesssignature", "secretkeybase", "dbpass", "rootpass", "userpass", "adminpass",
    "passwords", "passphrases", "amzsignature", "amzcredential", "authorization", "cookie",
    "sessionid", "sessid", "sessionkey", "credentials", "presharedkey", "keymaterial", "keycontent",
    "psk", "oobcode", "passcode", "magiclink",
)  # fmt: skip
_SECRET_ENDINGS += tuple("".join(_WORD.findall(word)).lower() for word in FIELD_ENDINGS)
_AMBIGUOUS = frozenset("".join(_WORD.findall(word)).lower() for word in AMBIGUOUS)
_SECRET_NAMES = {"pw", "pass", "pin", "cvv", "cvc", "otp", "passcode", "ntlm", "nthash", "lmhash"}
QUERY_SECRETS = {
    "sig", "signature", "sid", "key", "code", "auth", "ticket", "assertion", "hash", "state",
    "nonce",
}  # fmt: skip
"""Parameters of a URL that hold a credential; elsewhere these words name a rule or a number."""
_NOT_SECRET_ENDINGS: tuple[str, ...] = (
    "nopasswd",
    "nextpagetoken",
    "nexttoken",
    "continuationtoken",
)
# A secret stays a secret if one of these words follows its name, as in `passwordHash`.
_SECRET_FORMS = {"hash", "value", "plain", "text", "string", "raw"}

_ATTRIBUTES = {
    "name", "id", "uid", "full", "display", "sam", "value", "string", "netbios", "text", "key",
}  # fmt: skip
_USER_NOUNS = {
    "user", "username", "users", "uname", "account", "principal", "actor", "owner", "caller",
    "suser", "duser", "upn", "employee", "customer", "requester", "requestor", "assignee",
    "reporter", "author", "sender", "recipient", "recipients", "contact", "identity", "mailbox",
    "person", "member", "holder", "cardholder", "sudoer", "usr", "usuario", "benutzer",
    "utilisateur", "invoker", "impersonator", "victim",
}  # fmt: skip
_USER_ENDINGS = (
    "username", "userid", "logonname", "loginname", "accountname", "principalname", "alternateid",
)  # fmt: skip
# With "by" after it, the word names a user: `createdBy`.
_VERBS_BEFORE_BY = {
    "created", "published", "modified", "requested", "initiated", "updated", "deleted", "approved",
    "reported", "run",
}  # fmt: skip
_HOST_NOUNS = {
    "host", "hosts", "computer", "workstation", "machine", "hostname", "fqdn", "dvchost", "shost",
    "dhost", "dns",
}  # fmt: skip
_HOST_ENDINGS = (
    "hostname", "computername", "machinename", "workstationname", "devicename", "servername",
    "fqdn",
)  # fmt: skip
# These name a host only with "name" after them: `device.name`.
_HOST_NOUNS_BEFORE_NAME = {
    "device", "server", "asset", "endpoint", "node", "client", "instance", "vm", "agent",
}  # fmt: skip
_PHONES = (
    "phone", "phonenumber", "mobile", "msisdn", "telephone", "tel", "fax", "cellphone", "whatsapp",
    "telefono",
)  # fmt: skip
_CARDS = ("cardnumber", "cardno", "creditcard", "pan", "ccnumber", "primaryaccountnumber")
_SSNS = ("ssn", "socialsecuritynumber", "socialsecurity", "itin", "taxid", "nationalid")
_IBANS = ("iban", "accountnumber", "accountno", "bankaccount")
_MACS = ("mac", "macaddress", "macaddr", "hwaddr", "hardwareaddress", "bssid")
_NUMBERS: tuple[tuple[ValueKind, tuple[str, ...]], ...] = (
    ("ssn", _SSNS),
    ("card", _CARDS),
    ("iban", _IBANS),
    ("phone", _PHONES),
    ("mac", _MACS),
)


def kind_of(path: Sequence[str]) -> ValueKind | None:
    """The kind of value that the field at `path` holds; None if its name does not tell.

    `path` holds the names from the root of the document to the field.
    """
    # The field's own name must mean at least as much as the path: after the document is printed as
    # JSON, only that name stands beside the value.
    return _kind_of(tuple(path[-3:])) or _kind_of(tuple(path[-1:]))


@lru_cache(maxsize=4096)
def may_name_secret(name: str) -> bool:
    """Whether the name of a field means a secret if the value is no word.

    `clave` is also any key, and `auth` also a method.
    """
    words = _words(name)
    return bool(words) and words[-1] in _AMBIGUOUS


@lru_cache(maxsize=4096)  # Most names of fields come again with every event of a source.
def _kind_of(path: tuple[str, ...]) -> ValueKind | None:
    field_words = _words(path[-1]) if path else []
    if not field_words:
        return None
    path_words = [word for part in path for word in _words(part)][-_MAX_WORDS:]
    return (
        _number_kind(field_words)
        or _secret_kind(path_words, field_words)
        or _name_kind(path_words, field_words)
    )


def _words(name: str) -> list[str]:
    return [
        word.lower() for word in _WORD.findall(plain_letters(normalise(name[:_MAX_PART_CHARS])))
    ]


def _number_kind(field_words: list[str]) -> ValueKind | None:
    ending = "".join(field_words[-3:])
    for kind, names in _NUMBERS:
        if ending in names or field_words[-1] in names or ending.endswith(names[:1]):
            return kind
    return None


def _secret_kind(path_words: list[str], field_words: list[str]) -> ValueKind | None:
    while len(path_words) > 1 and path_words[-1] in _SECRET_FORMS:
        # `password.hash` is a field with the one word "hash": the word before it is its parent's.
        field_words = field_words[:-1] or path_words[-2:-1]
        path_words = path_words[:-1]
    name = "".join(field_words)
    if name.endswith(_NOT_SECRET_ENDINGS):
        return None
    if name.endswith(_SECRET_ENDINGS) or field_words[-1] in _SECRET_NAMES:
        return "secret"
    return None


def _name_kind(path_words: list[str], field_words: list[str]) -> ValueKind | None:
    name = "".join(field_words)
    if name.endswith(_USER_ENDINGS) or _is_done_by(field_words):
        return "user"
    if name.endswith(_HOST_ENDINGS):
        return "host"
    nouns = list(path_words)
    while len(nouns) > 1 and nouns[-1] in _ATTRIBUTES:
        nouns.pop()
    if nouns[-1] in _USER_NOUNS or nouns in (["login"], ["logon"]):
        return "user"
    named = len(nouns) < len(path_words) and path_words[-1] == "name"
    if nouns[-1] in _HOST_NOUNS or (named and nouns[-1] in _HOST_NOUNS_BEFORE_NAME):
        return "host"
    return None


def _is_done_by(field_words: list[str]) -> bool:
    """Whether the name is a participle with "by", such as `requested_by`."""
    return len(field_words) > 1 and field_words[-1] == "by" and field_words[-2] in _VERBS_BEFORE_BY
