"""Finds passwords in the arguments of commands."""

import re
from collections.abc import Iterator

from inference.egress.detectors.patterns import Clued, argument_span, matches
from inference.egress.detectors.values import could_be_secret
from inference.egress.kinds import Span

_ARGUMENT = (
    r"(?:\"(?P<quoted>[^\"\n\x00]{1,200})\"|'(?P<single>[^'\n\x00]{1,200})'"
    r"|(?P<secret>[^\s\"'/\x00][^\s\"'\x00]*+))"
)
_WORD = r"[ \t]{1,4}(?:\"[^\"\n]{1,64}\"|[^\s\"]{1,128}+)"
# Commands that take the password without a flag, up to the argument before it.
_BEFORE_PASSWORD = (
    rf"htpasswd(?:[ \t]{{1,4}}-\w{{1,8}}+){{0,3}}?[ \t]{{1,4}}-\w{{0,6}}(?:nb|bn)\w{{0,6}}{_WORD}",
    rf"htpasswd(?:[ \t]{{1,4}}-[a-mo-zB-Z]{{1,8}}+){{1,4}}{_WORD}{_WORD}",
    rf"wpa_passphrase{_WORD}",
    rf"rasdial(?:\.exe)?{_WORD}{_WORD}",
    r"smbclient[ \t]{1,4}[\"']?(?://|\\\\)[^\s\"']{1,128}+[\"']?(?=[ \t]{1,4}[^\s-])",
    rf"setcredentials{_WORD}{_WORD}{_WORD}{_WORD}",
    rf"connect[ \t]{{1,4}}to{_WORD}[ \t]{{1,4}}user{_WORD}[ \t]{{1,4}}using",
    r"mysqladmin[ \t][^\n\x00]{0,100}?[ \t]password",
    r"nmcli[ \t][^\n\x00]{0,100}?[ \t]password",
    rf"bw[ \t]{{1,4}}(?:login{_WORD}|unlock)",
)
_POSITIONAL_CLUES = (
    "htpasswd", "wpa_passphrase", "rasdial", "smbclient", "setcredentials", "using", "mysqladmin",
    "nmcli", "bw ",
)  # fmt: skip
_COMMANDS = (
    Clued(("net",), re.compile(
        r"\bnet1?(?:\.exe)?[ \t]{1,4}user[ \t]{1,4}(?P<user>[^\s\"'/]{1,64}+)"
        rf"[ \t]{{1,4}}{_ARGUMENT}",
        re.IGNORECASE,
    )),
    Clued(("net",), re.compile(
        r"\bnet1?(?:\.exe)?[ \t]{1,4}use[ \t][^\n\x00]{0,200}?[ \t]"
        r"(?P<secret>[^\s/\\:*\"'\x00][^\s\"'\x00]{0,100}+)[ \t]{1,4}/u(?:ser)?:",
        re.IGNORECASE,
    )),
    Clued(("securestring",), re.compile(
        rf"\bconvertto-securestring[ \t]{{1,4}}(?:-string[ \t]{{1,4}})?{_ARGUMENT}", re.IGNORECASE
    )),
    Clued(("credential(", "credential "), re.compile(
        r"\b(?:network|ps)credential\b[ \t]{0,4}(?:-argumentlist[ \t]{1,4})?\(?[ \t]{0,4}[\"'][^\"'\n\x00]{1,64}[\"'][ \t]{0,4},"
        r"[ \t]{0,4}[\"'](?P<secret>[^\"'\n\x00]{1,128})[\"']",
        re.IGNORECASE,
    )),
    Clued(("echo", "printf"), re.compile(
        r"\b(?:echo|printf)[ \t]{1,4}(?:-n[ \t]{1,4})?[\"']?(?P<secret>[^\"'|\n\x00]{1,100}?)[\"']?[ \t]{0,4}\|"
        r"[ \t]{0,4}(?:sudo|passwd|chpasswd|kinit|cryptsetup|openssl|gpg|docker|podman|smbpasswd|su)\b"
    )),
    Clued(("<<<",), re.compile(
        rf"\b(?:sudo|passwd|kinit|cryptsetup|gpg|docker|su)\b[^\n\x00]{{0,100}}?<<<[ \t]{{0,4}}{_ARGUMENT}"
    )),
    Clued(("-u", "--user", "--proxy-user", "creds"), re.compile(
        r"(?<!\S)(?:-u|-U|--user|--proxy-user|--(?:src-|dest-)?creds)[ \t=]{0,3}[\"']?"
        r"(?P<user>[^\s:\"'\x00]{1,128}+):(?P<secret>[^\s\"'\x00]++)"
    )),
    Clued(("/p:", "-p:"), re.compile(
        r"[ \t][/-]p:(?:\"(?P<quoted>[^\"\n\x00]{1,200})\"|'(?P<single>[^'\n\x00]{1,200})'"
        r"|(?P<secret>[^\s\"'\x00]++))"
    )),
    Clued(("identified", "requirepass", "masterauth"), re.compile(
        r"\b(?:identified[ \t]{1,4}(?:with[ \t]{1,4}\w{1,40}[ \t]{1,4})?by|requirepass|masterauth)"
        rf"[ \t]{{1,4}}{_ARGUMENT}",
        re.IGNORECASE,
    )),
    Clued(("password",), re.compile(
        rf"\b(?:with|alter|create|set)\b[^\n\x00;]{{0,100}}?\bpassword[ \t]{{1,4}}(?:for[ \t]\S{{1,64}}[ \t])?=?[ \t]{{0,4}}"
        r"'(?P<secret>[^'\n\x00]{1,128})'",
        re.IGNORECASE,
    )),
    Clued(("pass", "auth"), re.compile(
        r"(?:^|(?<=[\"']))[ \t]{0,4}(?:PASS|AUTH)[ \t]{1,4}(?!LOGIN\b|PLAIN\b|CRAM|NTLM\b|XOAUTH|TLS\b|SSL\b)"
        rf"{_ARGUMENT}",
        re.MULTILINE,
    )),
    Clued(("snmp-server", "key-string", "password", "secret", "wpa-psk"), re.compile(
        r"\b(?:snmp-server[ \t]{1,4}community|key-string(?:[ \t][07])?|(?:password|secret)[ \t]{1,4}\d"
        r"|(?:enable|username[ \t]\S{1,64}+(?:[ \t]privilege[ \t]\d{1,2})?)[ \t](?:secret|password)"
        rf"(?:[ \t]\d)?|wpa-psk(?:[ \t]ascii)?(?:[ \t]\d)?)[ \t]{{1,4}}{_ARGUMENT}"
    )),
    Clued(_POSITIONAL_CLUES, re.compile(
        rf"\b(?:{'|'.join(_BEFORE_PASSWORD)})[ \t]{{1,4}}{_ARGUMENT}", re.IGNORECASE
    )),
    Clued(("pass:",), re.compile(
        r"-pass(?:in|out|word)?[ \t]{1,4}[\"']?pass:(?P<secret>[^\s\"'\x00]++)"
    )),
    Clued(("/d", "defaultpassword"), re.compile(
        rf"/v[ \t]{{1,4}}[\"']?\w{{0,30}}password[\"']?[ \t][^\n\x00]{{0,60}}?/d[ \t]{{1,4}}{_ARGUMENT}", re.IGNORECASE
    )),
    Clued(("configure set", "setx", "config set", "vault login", "setenv"), re.compile(
        r"\b(?:(?:configure|config)[ \t]set|setx|setenv)[ \t]{1,4}(?:--?[\w-]{1,20}[ \t]{1,4})?[\w.:/-]{0,64}?"
        r"(?:password|passwd|secret|token|api_?key|access_?key|secret_access_key|_pass|_auth|_pw)"
        rf"[ \t]{{1,4}}{_ARGUMENT}|\bvault[ \t]login[ \t]{{1,4}}(?:-[\w-]{{1,20}}[ \t]{{1,4}})?(?P<token>[^\s\"'=\x00-]\S{{2,}})",
        re.IGNORECASE,
    )),
)  # fmt: skip
# ``-p`` is also the port of ssh and docker, and an option of mkdir.
_DASH_P = re.compile(rf"(?<!mkdir)[ \t]-p[ \t]{{1,4}}{_ARGUMENT}")
_PORTS_OR_PATH = re.compile(r"[\d:,/.-]+(?:/(?:tcp|udp))?[;,)]?|[./~\\-].*|\w:\\.*")

_LDAP = (
    "ldapsearch", "ldapmodify", "ldapadd", "ldapdelete", "ldapwhoami", "ldapcompare", "ldapmodrdn",
    "ldapexop", "ldapvi", "dsconf", "dsctl", "dsidm", "kadmin", "vsql", "ldapurl",
)  # fmt: skip
_SNMP = (
    "snmpwalk", "snmpget", "snmpset", "snmpbulkwalk", "snmpbulkget", "snmpgetnext", "snmptrap",
    "snmptable", "snmpstatus", "snmpcheck", "snmp-check", "snmpinform", "snmpdf", "snmptest",
    "snmptranslate", "snmpdelta", "snmpnetstat", "check_snmp", "onesixtyone",
)  # fmt: skip
_SMB = (
    "smbclient", "rpcclient", "smbmap", "winexe", "net", "smbget", "smbcacls", "smbtree", "nmblookup",
    "wmic", "smbspool", "smbcquotas", "wbinfo", "ntlm_auth", "pth-winexe", "pth-smbclient", "sharesec",
    "pth-net", "pth-rpcclient", "pth-wmic", "wmis",
)  # fmt: skip
_ORACLE = ("sqlplus", "sqlcl", "expdp", "impdp", "exp", "imp", "sqlldr", "rman", "dgmgrl")
_LETTERS: dict[str, str] = (
    dict.fromkeys(_LDAP, "w")
    | dict.fromkeys(_SNMP, "cAX")
    | dict.fromkeys(
        ("mosquitto_pub", "mosquitto_sub", "mosquitto_rr", "sqlcmd", "bcp", "osql", "isql", "tsql",
         "ipmitool", "ipmipower", "zip", "unzip", "zipcloak", "dtexec", "sqlpackage"),
        "P",
    )
    | {
        "ldappasswd": "wsa", "slappasswd": "s", "redis-cli": "a", "valkey-cli": "a", "gsql": "W",
        "dig": "y", "nsupdate": "y", "openssl": "kK", "impacket-secretsdump": "p", "kadmin.local": "w",
        "mysqlsh": "p", "mysql": "p", "mysqldump": "p", "mysqladmin": "p", "mysqlimport": "p",
        "mysqlbinlog": "p", "mysqlcheck": "p", "mysqlshow": "p", "mariadb": "p", "mariadb-dump": "p",
        "sshpass": "p", "7z": "p", "7za": "p", "7zr": "p", "rar": "p", "unrar": "p",
        "psexec": "p", "psexec64": "p", "paexec": "p", "cqlsh": "p", "mongo": "p", "mongosh": "p",
        "mongodump": "p", "mongorestore": "p", "mongoexport": "p", "mongoimport": "p", "nxc": "pH",
        "crackmapexec": "pH", "netexec": "pH", "cme": "pH", "evil-winrm": "pH", "medusa": "p",
        "hydra": "p", "bloodhound-python": "p", "influx": "p", "hdbsql": "p",
        "rdesktop": "p", "racadm": "p", "vncdo": "p", "tsm": "p", "ncftpput": "p",
        "ncftpget": "p", "ncftp": "p", "tabcmd": "p", "smbpasswd": "w",
    }
)  # fmt: skip
"""The letters of the flags that take a password, per program."""
_TOOLS = re.compile(
    r"(?<![\w.-])(?P<tool>"
    + "|".join(sorted(map(re.escape, _LETTERS), key=len, reverse=True))
    + r")(?:\.exe|64\.exe)?[\"']?(?=[ \t])"
)
_SMB_TOOLS = re.compile(
    r"(?<![\w.-])(?:" + "|".join(sorted(map(re.escape, _SMB), key=len, reverse=True)) + r")(?=[ \t])"
)
_USER_AND_PASSWORD = re.compile(
    r"(?:(?<=[ \t])-U[ \t]{0,3}|(?<=[ \t])--user(?:name)?[ \t=]{1,3})[\"']?(?P<user>[^\s%\"'\x00]{1,128}+)%"
    r"(?P<secret>[^\s\"'\x00]++)"
)
_LFTP = re.compile(
    r"\b(?:lftp|ncftp\w{0,4})\b[^\n\x00]{0,100}?[ \t]-u[ \t]{0,3}[\"']?[^\s,\"'\x00]{1,64}+,(?P<secret>[^\s\"'\x00]++)"
)
# The sign before the end of a line after which the command goes on.
_LINE_GOES_ON = re.compile(r"(?<=[ \t])[\\`^]\n")
_MAX_COMMAND_CHARS = 300
_END_OF_COMMAND = re.compile(r"\n|[ \t](?:\|\|?|&&|;)[ \t]|;[ \t]")
# These also take the password right after the letter, without a blank.
_TAKES_ATTACHED = {
    *_LDAP, *_SNMP, "mysql", "mysqldump", "mysqladmin", "mysqlimport", "mysqlbinlog", "mysqlcheck",
    "mysqlshow", "mysqlsh", "mariadb", "mariadb-dump", "sshpass", "7z", "7za", "7zr", "rar", "unrar",
    "ldappasswd", "sqlcmd", "bcp", "osql", "zip", "unzip",
}  # fmt: skip
_VALUE = (
    r"(?:\"(?P<quoted>[^\"\n\x00]{1,200})\"|'(?P<single>[^'\n\x00]{1,200})'"
    r"|(?P<secret>[^\s\"'\x00-][^\s\"'\x00]*+))"
)
_FLAG_AND_VALUE = {
    tool: re.compile(
        rf"(?<=[ \t])-(?:hp|[{letters}])(?:[ \t=]{{{int(tool not in _TAKES_ATTACHED)},4}}){_VALUE}"
    )
    for tool, letters in _LETTERS.items()
    if letters
}


def find_arguments(text: str) -> Iterator[Span]:
    """Find passwords in the arguments of commands."""
    text = _LINE_GOES_ON.sub(_blanks, text)
    lower = text.lower()
    for match in matches(_COMMANDS, text, lower):
        yield from _span(match)
    if "-" not in text:
        return
    for match in _DASH_P.finditer(text):
        span = argument_span(match)
        if not _PORTS_OR_PATH.fullmatch(text[slice(*span)]):
            yield from _span(match)
    for tool in _TOOLS.finditer(text):
        yield from _arguments_of(text, tool)
    if "%" in text:
        yield from _users_with_password(text)
    for match in _LFTP.finditer(text) if "ftp" in lower else ():
        yield from _span(match)


def _blanks(match: re.Match[str]) -> str:
    return " " * len(match[0])


def holds_password(program: str, previous: str, argument: str) -> bool:
    """Whether an argument in the list of a command's arguments holds a password.

    `previous` is the argument before it.
    """
    name = re.split(r"[/\\]", program)[-1].lower().removesuffix(".exe")
    if name in _SMB and "%" in argument:
        return previous in {"-U", "--user"} or argument.startswith(("-U", "--user="))
    if name in _ORACLE and "/" in argument.partition("@")[0].strip("/"):
        return True
    flags = {f"-{letter}" for letter in _LETTERS.get(name, "")}
    is_attached = name in _TAKES_ATTACHED and len(argument) > len("-p") and argument[:2] in flags
    return previous in flags or is_attached


def _arguments_of(text: str, tool: re.Match[str]) -> Iterator[Span]:
    pattern = _FLAG_AND_VALUE[tool["tool"]]
    end = min(len(text), tool.end() + _MAX_COMMAND_CHARS)
    end_of_command = _END_OF_COMMAND.search(text, tool.end(), end)
    for match in pattern.finditer(text, tool.end(), end_of_command.start() if end_of_command else end):
        yield from _span(match)


def _users_with_password(text: str) -> Iterator[Span]:
    for tool in _SMB_TOOLS.finditer(text):
        for match in _USER_AND_PASSWORD.finditer(text, tool.end(), tool.end() + _MAX_COMMAND_CHARS):
            yield from _span(match)


def _span(match: re.Match[str]) -> Iterator[Span]:
    start, end = argument_span(match)
    if could_be_secret(match.string[start:end]):
        yield Span(start, end, "secret")
