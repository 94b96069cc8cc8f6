"""Fresh secrets in the shapes that carry them, kind by kind.

`PROMISED` are the kinds that redaction promises to replace. Those of `UNPROMISED` are known to be
missed, at least in part: docs/how-to/llm.md publishes how many. The shapes are in carriers.toml.
"""

import base64
import codecs
import gzip
import random
import string
import tomllib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import orjson

from inference.egress.redaction import Redaction
from inference.errors import RedactionFailed
from schemas.event import Event
from tests.planted import FIRST_NAMES, LAST_NAMES, arrived, token

SHAPES: dict[str, Any] = tomllib.loads(Path(__file__).with_suffix(".toml").read_text("utf-8"))
_LETTERS_AND_DIGITS = string.ascii_letters + string.digits
_WORDS = ["Lantern", "orchid", "Gravel", "summit", "Velvet", "harbor", "Quartz", "meadow", "Falcon"]
_MIN_PART_CHARS = 5


class Carried(NamedTuple):
    """A text or a document, and the value in it that must not be sent."""

    content: Any
    value: str


class Leak(NamedTuple):
    """A value that got out: its kind, what held it, and what was sent of that."""

    kind: str
    content: Any
    value: str
    sent: str


Carrier = Callable[[random.Random], Carried]


def leaks(carriers: dict[str, Carrier], count: int, seed: int) -> Iterator[tuple[str, Leak | None]]:
    """Redact `count` fresh values of each kind; yield the kind and, if the value got out, the leak.

    The same seed gives the same values.
    """
    for kind, carrier in carriers.items():
        rng = random.Random(f"{seed} {kind}")
        for _ in range(count):
            carried = carrier(rng)
            sent = _sent(carried.content, rng)
            got_out = bool(arrived(_parts(carried.value), sent))
            yield kind, Leak(kind, *carried, sent) if got_out else None


def _parts(value: str) -> list[str]:
    """The value, and its halves: a part of a broken value could get out."""
    half = len(value) // 2
    return [value, *(part for part in (value[:half], value[half:]) if len(part) >= _MIN_PART_CHARS)]


def _sent(content: Any, rng: random.Random) -> str:
    """What is sent of an event that holds the content; nothing if redaction refuses it."""
    redaction = Redaction()
    out = redaction.event(_event(content, rng))
    texts = "\n".join(filter(None, [out.title, out.text, out.body]))
    sent = f"{texts}\n{orjson.dumps([out.event, out.attributes]).decode()}"
    try:
        redaction.verify(sent)
    except RedactionFailed:
        return ""
    return sent


def _event(content: Any, rng: random.Random) -> Event:
    if not isinstance(content, str):
        return Event(id="e", kind="alert", title="Seen", event=content)
    places: list[dict[str, Any]] = [
        {"text": content},
        {"body": content},
        {"text": f"An analyst wrote:\n\n{content}\n\nKind regards"},
        {"event": {"message": content, "level": 3}},
        {"event": {"evidence": [{"line": content}]}},
        {"event": {"raw": orjson.dumps({"log": content, "n": 1}).decode()}},
        {"event": {"payload": base64.b64encode(content.encode()).decode()}},
        {"event": {"url": f"/log?line={quote(content)}"}},
        {"attributes": {"note": content}},
    ]
    return Event(id="e", kind="alert", **({"title": "Seen"} | rng.choice(places)))


# --- values


def fresh(rng: random.Random, size: int | None = None) -> str:
    """A password of letters and digits."""
    if size is None and rng.random() < 0.4:
        word = rng.choice(_WORDS)
        return f"{word[:3]}{rng.randint(2, 9)}{word[3:]}{_letters(rng, 3)}{rng.randint(10, 99)}"
    return _mixed(rng, size or rng.randint(9, 18))


def signed(rng: random.Random) -> str:
    """A password that has a sign in it, too."""
    value = fresh(rng)
    cut = rng.randint(2, len(value) - 2)
    return value[:cut] + rng.choice("!#$%&*+-_.^~?") + value[cut:]


def _letters(rng: random.Random, size: int) -> str:
    return "".join(rng.choices(_LETTERS_AND_DIGITS, k=size))


def _mixed(rng: random.Random, size: int) -> str:
    """Random letters and digits, with both in each half."""
    characters = rng.choices(_LETTERS_AND_DIGITS, k=size)
    for first in (size // 4, 3 * size // 4):
        characters[first] = rng.choice("23456789")
        characters[first + 1] = rng.choice(string.ascii_letters)
    characters[0], characters[-1] = rng.choices(string.ascii_letters, k=2)
    return "".join(characters)


def _names(rng: random.Random) -> dict[str, str]:
    first, last = rng.choice(FIRST_NAMES), rng.choice(LAST_NAMES)
    return {
        "u": rng.choice([f"{first[0]}{last}", f"svc_{last}", "scott", "app", f"{first}.{last}"]),
        "h": rng.choice([f"db{rng.randint(1, 99)}", f"srv-{last}.example.com", "10.20.4.8"]),
        "d": rng.choice(["prod", "ORCL", "crm", "XEPDB1", "hr_db"]),
    }


def _filled(rng: random.Random, shapes: Sequence[str], secret: str, name: str = "") -> str:
    return rng.choice(shapes).format(p=secret, n=name, **_names(rng))


def _shapes(kind: str, value: Callable[[random.Random], str] = fresh) -> Carrier:
    """The shapes of one kind, with fresh values."""

    def carry(rng: random.Random) -> Carried:
        secret = value(rng)
        return Carried(_filled(rng, SHAPES[kind], secret), secret)

    return carry


def _field(rng: random.Random, name: str, secret: str) -> Carried:
    """The field of a document, or a field written in a text."""
    documents: list[Any] = [
        {name: secret},
        {"config": {"db": {name: secret}}},
        {"name": name, "value": secret},
        {"list": [{"key": name, "value": secret}]},
    ]
    text = _filled(rng, SHAPES["fields"], secret, name)
    return Carried(rng.choice([text, text, text, rng.choice(documents)]), secret)


# --- the kinds that are promised


def _links(rng: random.Random) -> Carried:
    secret = _mixed(rng, rng.randint(10, 32))
    return Carried(_filled(rng, SHAPES["links"], secret), secret)


def _keys(rng: random.Random) -> Carried:
    key = token(rng)
    return Carried(_filled(rng, SHAPES["keys"], key), key)


def _logins_in_base64(rng: random.Random) -> Carried:
    login = f"{_names(rng)['u']}:{signed(rng)}"
    blob = base64.b64encode(login.encode()).decode()
    documents = [{"auths": {"https://r.example/v1/": {"auth": blob}}}, {"npm": {"_auth": blob}}]
    text = _filled(rng, SHAPES["logins_in_base64"], blob)
    return Carried(rng.choice([text, text, text, rng.choice(documents)]), blob.rstrip("=")[:24])


def _argument_lists(rng: random.Random) -> Carried:
    secret = fresh(rng)
    command = _filled(rng, SHAPES["argument_lists"], secret)
    return Carried({"process": {"args": command.split(" ")}}, secret)


def _encoded_commands(rng: random.Random) -> Carried:
    secret = fresh(rng)
    script = _filled(rng, SHAPES["scripts"], secret)
    blob = base64.b64encode(script.encode("utf-16-le")).decode()
    flag = rng.choice(["-enc", "-EncodedCommand", "-e", "-ec", "-ENC", "/enc", "-encodedcommand"])
    shapes: list[Any] = [
        f"powershell.exe -nop -w hidden {flag} {blob}",
        f'pwsh {flag} "{blob}"',
        f"cmd /c start powershell {flag} {blob} & exit",
        {"process": {"args": ["powershell.exe", flag, blob]}},
        f"[Convert]::FromBase64String('{base64.b64encode(script.encode()).decode()}')",
    ]
    return Carried(rng.choice(shapes), secret)


_FIELDS = ["password", "passwd", "api_key", "secret", "access_token", "passphrase", "apikey", "pwd"]
_OTHER_FIELDS = [
    "db_password", "DB_PASS", "clientSecret", "privateKey", "sessionToken", "userPassword",
    "smtp.password", "Password", "AccountKey", "auth_token",
]  # fmt: skip


def _fields(rng: random.Random) -> Carried:
    return _field(rng, rng.choice([*_FIELDS, *_OTHER_FIELDS]), fresh(rng))


def _lookalike_names(rng: random.Random) -> Carried:
    letters = list(rng.choice(_FIELDS))
    places = [n for n, letter in enumerate(letters) if letter in SHAPES["lookalikes"]]
    for place in rng.sample(places, rng.randint(1, min(4, len(places)))):
        letters[place] = rng.choice(SHAPES["lookalikes"][letters[place]])
    return _field(rng, "".join(letters), fresh(rng))


def _respelled_names(rng: random.Random) -> Carried:
    name = rng.choice(_FIELDS)
    spellings = [
        "".join(chr(ord(c) + 0xFEE0) for c in name),  # full-width
        "".join(rng.choice([c.upper(), c.lower()]) for c in name),
        name[:3] + "\u200b" + name[3:],
        name.title(),
        "".join(c + "\u0336" for c in name),  # struck out
        "".join(chr(0x1D41A + ord(c) - ord("a")) if c.isalpha() else c for c in name),  # bold
    ]
    return _field(rng, rng.choice(spellings), fresh(rng))


def _broken(rng: random.Random) -> Carried:
    kind = rng.choice(["password", "key", "random", "login"])
    secret = {"key": "ghp_" + _mixed(rng, 36), "random": _mixed(rng, 40)}.get(kind) or _mixed(
        rng, 16
    )
    cut = {"key": rng.randint(12, 28), "random": 20}.get(kind, 8)
    written = base64.b64encode(f"a:{secret}".encode()).decode() if kind == "login" else secret
    shape = rng.choice(SHAPES["broken"][kind])
    return Carried(shape.format(p=written, a=written[:cut], b=written[cut:]), secret)


def _other_languages(rng: random.Random) -> Carried:
    language = rng.choice(list(SHAPES["languages"].values()))
    if rng.random() < 0.3:
        return _field(rng, language["field"], fresh(rng))
    secret = fresh(rng)
    return Carried(_filled(rng, language["told"], secret), secret)


Grid = list[list[str]]


def _tables(rng: random.Random) -> Carried:
    heading = rng.choice(
        ["password", "Password", "passwd", "secret", "api_key", "token", "senha", "Passwort",
         "пароль", "密码", "pwd", "User Password"]
    )  # fmt: skip
    secrets = [signed(rng) for _ in range(rng.randint(1, 4))]
    rows = [[_names(rng)["u"], secret, str(rng.randint(1, 99))] for secret in secrets]
    order = rng.sample(range(3), 3)
    grid = [[row[n] for n in order] for row in [["user", heading, "id"], *rows]]
    return Carried(rng.choice(_TABLES)(grid), rng.choice(secrets))


def _csv(sign: str, quote_sign: str = "") -> Callable[[Grid], str]:
    return lambda grid: "\n".join(
        sign.join(f"{quote_sign}{cell}{quote_sign}" for cell in row) for row in grid
    )


def _markdown(grid: Grid) -> str:
    heading, *rows = [f"| {' | '.join(row)} |" for row in grid]
    return "\n".join([heading, "|---|:--|--:|", *rows])


def _aligned(grid: Grid, rule: str = "") -> str:
    heading, *rows = ["  ".join(f"{cell:<20}" for cell in row).rstrip() for row in grid]
    return "\n".join([heading, *([rule] if rule else []), *rows])


def _insert(grid: Grid) -> str:
    rows = [f"({', '.join(map(repr, row))})" for row in grid]
    return f"INSERT INTO users {rows[0].replace(chr(39), '')} VALUES {', '.join(rows[1:])};"


_TABLES: list[Callable[[Grid], Any]] = [
    *map(_csv, [",", ";", "\t", ", ", "|"]),
    _csv(",", '"'),
    _markdown,
    _aligned,
    lambda grid: _aligned(grid, "-" * 60),
    _insert,
    lambda grid: f"Dump of users:\n\n{_csv(',')(grid)}\n\nend",
    lambda grid: {"file": {"content": _csv(",")(grid)}},
    lambda grid: {"columns": grid[0], "rows": grid[1:]},
]

PROMISED: dict[str, Carrier] = {
    "fields in files and messages": _fields,
    "URLs and headers": _shapes("urls"),
    "keys of known shape": _keys,
    "arguments of commands": _shapes("commands"),
    "lists of arguments": _argument_lists,
    "logins of Oracle": _shapes("oracle"),
    "files of logins": _shapes("files"),
    "logins in base64": _logins_in_base64,
    "keys of wireless networks": _shapes("networks"),
    "links that sign in": _links,
    "encoded commands": _encoded_commands,
    "names with look-alike letters": _lookalike_names,
    "names in unusual spelling": _respelled_names,
    "values broken over a line": _broken,
    "told in a sentence": _shapes("told"),
    "named in another language": _other_languages,
    "columns of tables": _tables,
}

# --- the kinds that are not promised


def _plain_words(rng: random.Random) -> Carried:
    word = rng.choice(["sunshine", "dragonfly", "butterscotch", "monkeybars", "charlotte"])
    return Carried(_filled(rng, SHAPES["plain_word"], word), word)


def _pieces(rng: random.Random) -> Carried:
    secret = _mixed(rng, 12)
    return Carried(rng.choice(SHAPES["pieces"]).format(a=secret[:6], b=secret[6:]), secret)


def _other_encodings(rng: random.Random) -> Carried:
    plain = f"password={fresh(rng)}".encode()
    encoded = rng.choice(
        [
            base64.b64encode(base64.b64encode(base64.b64encode(plain))).decode(),
            base64.b32encode(plain).decode(),
            base64.b85encode(plain).decode(),
            codecs.encode(plain.decode(), "rot13"),
            base64.b64encode(gzip.compress(plain, mtime=0)).decode(),
            plain.decode()[::-1],
            " ".join(str(byte) for byte in plain),
        ]
    )
    return Carried(f"data {encoded} end", encoded)


def _one_column(rng: random.Random) -> Carried:
    secrets = [signed(rng) for _ in range(3)]
    return Carried(rng.choice(SHAPES["one_column"]) + "\n".join(secrets), secrets[2])


def _broken_before_a_word(rng: random.Random) -> Carried:
    word = rng.choice(["Lantern", "orchids", "velvets", "harbors"])
    return Carried(f"password={fresh(rng, 8)}\n{word}\n", word)


def _syslog_hosts(rng: random.Random) -> Carried:
    host = f"web{rng.choice(LAST_NAMES)}{rng.randint(10, 99)}"
    return Carried(f"Nov 30 06:25:43 {host} sshd[811]: Connection closed", host)


def _people(rng: random.Random) -> Carried:
    name = f"{rng.choice(FIRST_NAMES).title()} {rng.choice(LAST_NAMES).title()}"
    return Carried(f"I spoke to {name} about it yesterday.", name)


def _addresses(rng: random.Random) -> Carried:
    street = f"{rng.randint(2, 99)} {rng.choice(LAST_NAMES).title()} Street"
    return Carried(f"Please send it to {street}, Springfield.", street)


def _births(rng: random.Random) -> Carried:
    date = f"{rng.randint(10, 28)}.{rng.randint(10, 12)}.{rng.randint(1950, 2004)}"
    return Carried(f"born on {date} in Porto", date)


def _other_ids(rng: random.Random) -> Carried:
    digits = "".join(rng.choices(string.digits, k=9))
    prefix, value = rng.choice(
        [
            ("CPF ", f"{digits[:3]}.{digits[3:6]}.{digits[6:]}-11"),
            ("passport ", f"X{digits[:8]}"),
            ("customer number ", digits[:7]),
            ("NINO ", f"QQ{digits[:6]}C"),
        ]
    )
    return Carried(f"{prefix}{value} on file", value)


UNPROMISED: dict[str, Carrier] = {
    "passwords that are a word, told in a sentence": _plain_words,
    "passwords that no word names": _shapes("without_word"),
    "secrets that code puts together": _pieces,
    "base64 within base64 within base64, base32, base85, gzip, ROT13, reversed": _other_encodings,
    "lists under a heading, without columns": _one_column,
    "the second part of a broken value, if it is a word": _broken_before_a_word,
    "names of secrets spelled with digits or blanks, such as `p4ssw0rd`": _shapes("leet"),
    "words for a password in languages that are not listed": _shapes("languages_without_words"),
    "names of people in running text": _people,
    "postal addresses": _addresses,
    "dates of birth": _births,
    "national ids of other countries, customer numbers": _other_ids,
    "host names in the header of syslog": _syslog_hosts,
}
