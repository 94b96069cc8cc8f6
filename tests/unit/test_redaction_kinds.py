"""Redaction, kind by kind: fresh secrets in many shapes, and ordinary texts that must stay."""

import os
import secrets
import time
from collections import Counter
from pathlib import Path
from typing import Any

import orjson
import pytest

from benchmarks import redaction as published
from inference.egress.detection import find_secrets
from inference.egress.kinds import VALUE_KINDS
from inference.egress.normalization import PLACEHOLDER
from inference.egress.redaction import Redaction
from schemas.event import Event
from tests.carriers import PROMISED, SHAPES, UNPROMISED, Carrier, Leak, leaks
from tests.figures import tell
from tests.planted import arrived, planted_events

ROOT = Path(__file__).parents[2]
AUTHORED = ROOT / "inference" / "training" / "authored"
CI_SEED = 20_261
SEED = int(
    os.environ.get("REDACTION_SEED")
    or (CI_SEED if os.environ.get("CI") == "true" else secrets.randbits(32))
)
"""Fresh in each run, but in CI, where a change must not fail by chance.

Set the variable to the seed of a failure to repeat it.
"""
PER_KIND = 60
MAX_REDACTED_SHARE = {"alerts": 0.006, "tickets": 0.0005}
"""Of the characters of our own rows. They were 0.44 % and 0.02 % when the bounds were set."""


def redacted(text: str) -> str:
    """One text after redaction, without an event."""
    return Redaction().text(text)


def leaked(carriers: dict[str, Carrier], count: int, seed: int) -> list[Leak]:
    """The values that got out."""
    return [leak for _, leak in leaks(carriers, count, seed) if leak]


def test_no_fresh_secret_of_a_promised_kind_gets_out() -> None:
    """Whole kinds of secrets would be sent, and a list of examples would not show it."""
    got_out = leaked(PROMISED, PER_KIND, SEED)
    count = PER_KIND * len(PROMISED)
    tell(f"redaction: {len(got_out)} of {count} fresh secrets got out (REDACTION_SEED={SEED})")
    assert count >= 1_000
    assert not got_out, f"repeat it with REDACTION_SEED={SEED}: {got_out[:5]}"


def test_no_planted_value_is_sent() -> None:
    """Secrets and personal data would be sent."""
    planted_count, counts = 0, dict.fromkeys(VALUE_KINDS, 0)
    for event, planted in planted_events(160, seed=SEED):
        redaction = Redaction()
        out = redaction.event(event)
        text = "\n".join(filter(None, [out.title, out.text, out.body, out.source]))
        outgoing = f"{text}\n{orjson.dumps([out.event, out.attributes]).decode()}"
        redaction.verify(outgoing)
        assert not arrived(planted, outgoing), f"repeat it with REDACTION_SEED={SEED}"
        planted_count += len(planted)
        counts = {kind: counts[kind] + redaction.counts.get(kind, 0) for kind in VALUE_KINDS}
    tell(f"redaction: 0 of {planted_count} planted values left; replaced {counts}")


@pytest.mark.parametrize(
    "text",
    [
        "sqlplus scott/zq9Lantern@orcl",
        "ldapsearch -x -D cn=a -w zq9Lantern -b dc=x",
        "rpcclient -U 'bob%zq9Lantern' srv",
        "snmpwalk -v2c -c zq9Lantern 10.0.0.1",
        "db1:5432:prod:app:zq9Lantern",
        "_auth=Ym9iOnpxOUxhbnRlcm4=",
        "    Key Content            : zq9Lantern",
        "https://app.example.com/login?m=zq9Lantern1a",
        "powershell -enc JABwAGEAcwBzACAAPQAgACIAegBxADkATABhAG4AdABlAHIAbgAiAA==",
        "p\u0430ssword=zq9Lantern",
        "password='zq9La\nntern'",
        "ghp_16C7e42F292c6912\nE7710c838347Lantern",
        "The password for jdoe was changed to zq9Lantern.",
        "ma nouvelle clé: mot de passe changé en zq9Lantern",
        "пароль: zq9Lantern",
        "密码是zq9Lantern, 谢谢",
        "비밀번호는 zq9Lantern입니다",
        "user,password\nbob,zq9Lantern\namy,x7Velvet",
        "| user | password |\n|---|---|\n| bob | zq9Lantern |",
        "USER        PASSWORD\nbob         zq9Lantern",
        "INSERT INTO t (id, password) VALUES (1, 'zq9Lantern')",
        '{"log":"user,password\\nbob,zq9Lantern"}',
        "$pass = 'zq9Lantern'",
        '"password":"abc\\"zq9Lantern"',
        "key=9f8Gk2LmQ7xTz4Vb1NcRLantern",
    ],
)
def test_secrets_that_once_got_out(text: str) -> None:
    """Each was measured to reach the model's provider although its kind was promised."""
    out = redacted(text)
    assert "Lantern" not in out
    assert "ntern" not in out
    assert "[SECRET_1]" in out
    assert "Ym9iOnpxOU" not in out
    assert "JABwAGEAcwBz" not in out


@pytest.mark.parametrize(
    "document",
    [
        {"args": ["ldapsearch", "-x", "-w", "zq9Lantern"]},
        {"args": ["ldapsearch", "-wzq9Lantern"]},
        {"args": ["smbclient", "-U", "bob%zq9Lantern", "//h/c"]},
        {"args": ["sqlplus", "scott/zq9Lantern@orcl"]},
        {"columns": ["user", "password"], "rows": [["bob", "zq9Lantern"]]},
        {"пароль": "zq9Lantern"},
        {"p\u0430ssword": "zq9Lantern"},
        {"auths": {"r.example": {"auth": "Ym9iOnpxOUxhbnRlcm4="}}},
        {"clave": "zq9Lantern"},
    ],
)
def test_secrets_in_documents_that_once_got_out(document: dict[str, Any]) -> None:
    """A password in a list of arguments, in a row or under a foreign name would be sent."""
    out = str(Redaction().event(Event(id="e", kind="alert", event=document)).event)
    assert "Lantern" not in out
    assert "Ym9iOnpx" not in out
    assert "[SECRET_1]" in out


@pytest.mark.parametrize(
    "text",
    [
        "uses: actions/checkout@v4 and docker/login-action@v3, aws-actions/configure-aws@v4.0.2",
        "npm install @scope/pkg2@1.2.3, go get example/tool9@latest, image repo/app1@sha256:abc",
        "connect client/server and import file/name; expect read/write",
        "grep -w word file; wc -c x.txt; gcc -c main.c; tar -c -f a.tar; zip -r out.zip dir",
        "app.py:120:error:main:failed; 10:30:45:info:worker:started; std::map::value",
        "auth=enabled, auth: password, auth_method=ntlm, auth: certificate",
        "Security key           : Present, the network key is in the safe",
        "https://docs.example.com/login/getting-started?page=2&version=1.12.3&lang=en-GB",
        "https://example.com/verify/index.html and https://example.com/reset-password/step-two",
        "The password policy was changed to comply with the new rules.",
        "Password last set: 2026-03-16, password age changed to 90 days",
        "Password spraying from many hosts to the login of one server was seen",
        "palabras clave: seguridad, parole chiave: rete, libre sur parole",
        "Пароль не подходит, забыл пароль. 密码错误,请重试。 パスワードを忘れました。",
        "Users, passwords and tokens\nwere found, in files, too",
        "name,size,date\nreport,12,2026-01-01",
        "Host  Port  State\n----\nopen  443   tcp",
        "first line ends here\nsecond2 line begins there\nthird3",
        "password reset\nwindows11\n",
        "</password>\nSource: okta",
        "credentials in URLs are **plainly exposed** in logs",
    ],
)
def test_ordinary_text_stays(text: str) -> None:
    """The model would have to judge a text that is full of placeholders."""
    assert "SECRET" not in redacted(text)


def test_a_sentence_is_no_heading_of_a_table() -> None:
    """Two lines with a semicolon each would be a table of users, and the event never be sent."""
    text = "We tried it; the result was identity.\nWe tried it; the result was card-7."
    assert redacted(text) == text


@pytest.mark.parametrize("domain", ["alerts", "tickets"])
def test_little_of_our_own_rows_is_redacted(domain: str) -> None:
    """A detector that is too eager would take the words that the model needs to decide."""
    rows = (AUTHORED / f"{domain}.ndjson").read_bytes().splitlines()[::4]
    texts = [orjson.loads(row)["text"] for row in rows]
    kept = sum(len(PLACEHOLDER.sub("", redacted(text))) for text in texts)
    share = 1 - kept / sum(map(len, texts))
    tell(f"redaction: {share:.2%} of the characters of our own {domain} are replaced")
    assert share <= MAX_REDACTED_SHARE[domain]


def test_the_same_seed_gives_the_same_values() -> None:
    """A failure could not be repeated, because its values would be others."""
    assert leaked(UNPROMISED, 3, seed=5) == leaked(UNPROMISED, 3, seed=5)
    assert leaked(UNPROMISED, 3, seed=5) != leaked(UNPROMISED, 3, seed=6)


def test_a_leak_is_seen() -> None:
    """The test for promised kinds could not fail."""
    kinds = Counter(leak.kind for leak in leaked(UNPROMISED, 10, seed=5))
    assert kinds["names of people in running text"] == 10
    assert len(SHAPES["commands"]) > 50


def test_the_published_table_is_what_is_measured() -> None:
    """The documentation would promise more than the program holds, or less."""
    page = (ROOT / "docs" / "how-to" / "llm.md").read_text(encoding="utf-8")
    assert published.table() in page


@pytest.mark.parametrize(
    "unit", ["ldapsearch -w ", "a,password\n", "clave ", "password  b\n", "password to ", "a1b2\n"]
)
def test_hostile_texts_take_linear_time(unit: str) -> None:
    """A search that looks at every pair of characters would need minutes for these texts."""
    text = (unit * 100_000)[:100_000]
    started_at_s = time.thread_time()
    assert sum(1 for _ in find_secrets(text)) < len(text)
    assert time.thread_time() - started_at_s < 8
