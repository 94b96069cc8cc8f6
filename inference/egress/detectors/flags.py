"""Finds passwords after the flags of programs that have a letter for them.

``-w`` is a password for ``ldapsearch`` and a width for others. So the table goes by the program.
"""

import re
from collections.abc import Iterable, Iterator, Mapping

from inference.egress.detectors.patterns import QUOTED_OR, argument_span
from inference.egress.detectors.values import could_be_secret
from inference.egress.kinds import Span

_LDAP = (
    "ldapsearch", "ldapmodify", "ldapadd", "ldapdelete", "ldapwhoami", "ldapcompare", "ldapmodrdn",
    "ldapexop", "ldapvi", "dsconf", "dsctl", "dsidm",
)  # fmt: skip
_SNMP = (
    "snmpwalk", "snmpget", "snmpset", "snmpbulkwalk", "snmpbulkget", "snmpgetnext", "snmptrap",
    "snmptable", "snmpstatus", "snmpcheck", "snmp-check", "snmpinform", "snmpdf", "snmptest",
    "snmptranslate", "snmpdelta", "snmpnetstat", "check_snmp", "onesixtyone",
)  # fmt: skip
_MYSQL = (
    "mysql", "mysqldump", "mysqladmin", "mysqlimport", "mysqlbinlog", "mysqlcheck", "mysqlshow",
    "mysqlsh", "mysqlslap", "mysqlpump", "mariadb", "mariadb-dump",
)  # fmt: skip
_ARCHIVERS = ("7z", "7za", "7zr", "rar", "unrar")
_ZIP_AND_SQL = ("zip", "unzip", "sqlcmd", "bcp", "osql")
_OTHERS_WITH_P = (
    "psexec", "psexec64", "paexec", "cqlsh", "mongo", "mongosh", "mongodump", "mongorestore",
    "mongoexport", "mongoimport", "medusa", "hydra", "bloodhound-python", "influx", "hdbsql",
    "rdesktop", "racadm", "ncftp", "ncftpput", "ncftpget", "impacket-secretsdump",
)  # fmt: skip
_LETTERS: dict[str, str] = (
    dict.fromkeys(_LDAP, "w")
    | dict.fromkeys(_SNMP, "cAX")
    | dict.fromkeys((*_MYSQL, *_ARCHIVERS, *_OTHERS_WITH_P, "sshpass"), "p")
    | dict.fromkeys(_ZIP_AND_SQL, "P")
    | dict.fromkeys(("mosquitto_pub", "mosquitto_sub", "isql", "tsql", "ipmitool"), "P")
    | dict.fromkeys(("nxc", "netexec", "crackmapexec", "cme", "evil-winrm"), "pH")
    | dict.fromkeys(("kadmin", "kadmin.local", "vsql"), "w")
    | dict.fromkeys(("redis-cli", "valkey-cli"), "a")
    | dict.fromkeys(("dig", "nsupdate"), "y")
    | {"ldappasswd": "wsa", "slappasswd": "s", "gsql": "W", "openssl": "kK"}
)
"""The letters of the flags that take a password, per program."""
_TAKES_ATTACHED = {*_LDAP, *_SNMP, *_MYSQL, *_ARCHIVERS, *_ZIP_AND_SQL, "sshpass", "ldappasswd"}
"""These programs also take the password right after the letter, without a blank."""
_SMB = (
    "smbclient", "rpcclient", "smbmap", "winexe", "net", "smbget", "smbcacls", "smbtree",
    "nmblookup", "wmic", "smbspool", "smbcquotas", "wbinfo", "ntlm_auth", "sharesec", "pth-net",
    "pth-winexe", "pth-smbclient", "pth-rpcclient", "pth-wmic", "wmis",
)  # fmt: skip
_ORACLE = ("sqlplus", "sqlcl", "expdp", "impdp", "exp", "imp", "sqlldr", "rman", "dgmgrl")


def _any_of(programs: Iterable[str]) -> str:
    return "|".join(sorted(map(re.escape, programs), key=len, reverse=True))


_TOOL = re.compile(rf"(?<![\w.-])(?P<tool>{_any_of(_LETTERS)})(?:\.exe|64\.exe)?[\"']?(?=[ \t])")
_SMB_TOOL = re.compile(rf"(?<![\w.-])(?P<tool>{_any_of(_SMB)})(?:\.exe)?(?=[ \t])")
_USER_AND_PASSWORD = re.compile(
    r"(?<=[ \t])(?:-U[ \t]{0,3}|--user(?:name)?[ \t=]{1,3})[\"']?(?P<user>[^\s%\"'\x00]{1,128}+)%"
    r"(?P<secret>[^\s\"'\x00]++)"
)
_MAX_COMMAND_CHARS = 300
_END_OF_COMMAND = re.compile(r"\n|[ \t](?:\|\|?|&&|;)[ \t]|;[ \t]")


def _flag_and_value(program: str, letters: str) -> re.Pattern[str]:
    flag = rf"(?:hp|[{letters}])" if program in _ARCHIVERS else f"[{letters}]"
    min_blanks = 0 if program in _TAKES_ATTACHED else 1
    blanks = rf"[ \t=]{{{min_blanks},4}}"
    return re.compile(
        rf"(?<=[ \t])-{flag}{blanks}{QUOTED_OR}(?P<secret>[^\s\"'\x00-][^\s\"'\x00]*+))"
    )


_FLAG_AND_VALUE = {
    program: _flag_and_value(program, letters) for program, letters in _LETTERS.items()
}


def find_flags(text: str) -> Iterator[Span]:
    """Find passwords after a flag of a program, and after ``-U user%``."""
    if "-" not in text:
        return
    yield from _after_programs(text, _TOOL, _FLAG_AND_VALUE)
    if "%" in text:
        yield from _after_programs(text, _SMB_TOOL, dict.fromkeys(_SMB, _USER_AND_PASSWORD))


def holds_password(program: str, previous: str, argument: str) -> bool:
    """Whether an argument in the list of a program's arguments holds a password.

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


def _after_programs(
    text: str, program: re.Pattern[str], values: Mapping[str, re.Pattern[str]]
) -> Iterator[Span]:
    searched: dict[re.Pattern[str], int] = {}
    for match in program.finditer(text):
        pattern = values[match["tool"]]
        # No part is searched twice for the same, so that the time stays linear.
        start = max(match.end(), searched.get(pattern, 0))
        searched[pattern] = end = max(start, _end_of_command(text, match.end()))
        for value in pattern.finditer(text, start, end):
            yield from _span(value)


def _end_of_command(text: str, start: int) -> int:
    end = min(len(text), start + _MAX_COMMAND_CHARS)
    match = _END_OF_COMMAND.search(text, start, end)
    return match.start() if match else end


def _span(match: re.Match[str]) -> Iterator[Span]:
    start, end = argument_span(match)
    if could_be_secret(match.string[start:end]):
        yield Span(start, end, "secret")
