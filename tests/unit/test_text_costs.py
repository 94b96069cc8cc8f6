"""The time for a text grows with its length, and not with its square, whatever the text is.

A stranger writes the texts, and Python matches a pattern without letting any other thread run.
"""

import importlib
import pkgutil
import re
import time
import unicodedata
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import agents
import inference
import schemas
import streams
from inference.egress.detectors.field_names import kind_of
from inference.egress.normalization import disarm, fold, normalise
from inference.egress.redaction import Redaction
from inference.egress.vault import Vault
from inference.errors import RedactionFailed
from inference.llm.prompt.event_text import event_text
from inference.model.input_text import read_content, render
from inference.model.tokenizer import replace_control_characters
from schemas.errors import InvalidEvent
from schemas.event import Event
from schemas.formats import text as words
from schemas.formats.instants import to_rfc3339
from schemas.formats.values import as_id, as_text, is_blank, keep
from schemas.unicode import MAX_MARKS, is_mark, nfkc
from schemas.visible_text import one_line, visible_text

MAX_RATIO = 8
"""Of the cost of four times the text. Linear is 4, quadratic is 16."""
FREE_S = 0.25
"""Less CPU time is not compared: at these lengths, quadratic work takes seconds."""

UNITS = (
    *("a", "A", " ", "\t", "\n", "1", '"', "'", "\\", "<", "@", "=", ".", "-", "/", "_", ":", ","),
    *("%", "(", "[", "{", "|", "&", "#", "$", "é", "\x00", "\u0315\u0316", "\u0f73\u0315"),
    "\ufdfa",
    *("a ", "a.", "a-", "a:", "a@", "1.", "1-", "ab ", " \n", "://", "a:b@", "password: ", "-p "),
    *("1'", "a'b "),
    *("Zm9vYmFy", "Zm9v/", "0f", "a1b2", "aA", "%40", "a[at]", "a at b dot ", "<think>", '{ "'),
    *("<p>", "<!--", "<a href='", "> a\n", "[a](", "!a.", "From: a\n", "--\n", "{code:"),
    *("net user ", "echo x", "cookie=a", "cn=a,", "[EMAIL_1]", "&#1", "\\u00", ".map(", "[GET_"),
)  # fmt: skip
USUAL_UNITS = ("a", " ", "\n", "-", "1", '"', "=", "\\", "a ", "a.")
PREFIXES = ("", "a", "-----BEGIN PRIVATE KEY-----", "<think>", '"', "://", 'password: "')

texts_of_units = st.tuples(st.sampled_from(PREFIXES), st.sampled_from(UNITS))
random_units = st.tuples(
    st.text(max_size=3),
    st.text(alphabet="aA1 \t\n\"'\\<@=.-/:%é\u0315\u0316", min_size=1, max_size=4),
)


def grown(prefix: str, unit: str, chars: int) -> str:
    """The unit again and again, up to this length."""
    return (prefix + unit * (chars // len(unit) + 1))[:chars]


def cost_s(work: Callable[[str], Any], text: str) -> float:
    """CPU seconds of this thread; the best of three, or of one that takes long."""
    best_s = float("inf")
    for _ in range(3):
        started_s = time.thread_time()
        work(text)
        best_s = min(best_s, time.thread_time() - started_s)
        if best_s > 2 * FREE_S:
            break
    return best_s


def assert_linear(work: Callable[[str], Any], prefix: str, unit: str, chars: int) -> None:
    """Compare the cost of a text with that of one four times as long."""
    started_s = time.thread_time()
    work(grown(prefix, unit, 4 * chars))
    if time.thread_time() - started_s < FREE_S:
        return
    short_s = cost_s(work, grown(prefix, unit, chars))
    long_s = cost_s(work, grown(prefix, unit, 4 * chars))
    assert long_s < max(FREE_S, MAX_RATIO * short_s), (prefix, unit, short_s, long_s)


def patterns() -> Iterator[tuple[str, re.Pattern[str]]]:
    """Every compiled pattern of text in a global variable of the four packages, with its place."""
    seen = set()
    for package in (schemas, inference, agents, streams):
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if "training" in found.name or found.name.endswith("__main__"):
                continue
            module = importlib.import_module(found.name)
            for name, value in vars(module).items():
                for pattern in _patterns_in(value):
                    if isinstance(pattern.pattern, str) and pattern not in seen:
                        seen.add(pattern)
                        yield f"{found.name}.{name}", pattern


def _patterns_in(value: object) -> Iterator[re.Pattern[Any]]:
    if isinstance(value, re.Pattern):
        yield value
    elif isinstance(value, tuple | list):
        for item in value:
            yield from _patterns_in(item)


PATTERNS = list(patterns())


def search(pattern: re.Pattern[str], text: str) -> None:
    """Find every match, and also ask whether the text begins with one or is one."""
    for _ in pattern.finditer(text):
        pass
    pattern.match(text)
    pattern.fullmatch(text)


def test_the_patterns_are_found() -> None:
    """The next test would pass because it looks at nothing."""
    assert len(PATTERNS) > 80
    names = {".".join(name.rsplit(".", 2)[1:]) for name, _ in PATTERNS}
    assert names > {"vault._AT", "accounts._LOG_LINES", "input_text._OPAQUE"}


@pytest.mark.parametrize("name", sorted({name for name, _ in PATTERNS}))
def test_every_pattern_is_linear(name: str) -> None:
    """One event of a hundred thousand equal characters would stop the process for minutes."""
    for place, pattern in PATTERNS:
        if place != name:
            continue
        pairs = [("", unit) for unit in UNITS]
        pairs += [(prefix, unit) for prefix in PREFIXES for unit in USUAL_UNITS]
        for prefix, unit in pairs:
            assert_linear(partial(search, pattern), prefix, unit, 3_000)


def redacted(text: str) -> object:
    """Everything that redaction does with one text; it may give up after its time."""
    try:
        redaction = Redaction()
        return redaction.text(text)
    except RedactionFailed:
        return None


def identified(text: str) -> object:
    """Whether a text is an id; long ones are refused."""
    try:
        return as_id(text)
    except InvalidEvent:
        return None


FUNCTIONS: dict[str, Callable[[str], Any]] = {
    "nfkc": nfkc,
    "normalise": normalise,
    "disarm": disarm,
    "fold": fold,
    "visible_text": visible_text,
    "one_line": lambda text: one_line(text, 100),
    "replace_control_characters": replace_control_characters,
    "is_blank": is_blank,
    "as_text": as_text,
    "as_id": identified,
    "to_rfc3339": to_rfc3339,
    "plain, ticket": lambda text: words.plain("ticket", text),
    "plain, alert": lambda text: words.plain("alert", text),
    "plain, page": lambda text: words.plain("ticket", f"<html>{text}"),
    "rich_text": lambda text: words.rich_text({"type": "doc", "content": [{"text": text}]}),
    "kind_of": lambda text: kind_of((text, text)),
    "render, text": lambda text: render(Event(id="1", kind="alert", text=text)),
    "render, leaf": lambda text: render(Event(id="1", kind="alert", event={text: text})),
    "content": lambda text: read_content(Event(id="1", kind="alert", title=text, body=text)),
    "event_text": lambda text: event_text(
        Event(id="1", kind="alert", text=text, event={text: text}), 6_000
    ),
}


@pytest.mark.parametrize("work", FUNCTIONS.values(), ids=FUNCTIONS.keys())
@settings(max_examples=15, deadline=None)
@given(pair=texts_of_units | random_units)
def test_every_function_of_texts_is_linear(
    work: Callable[[str], Any], pair: tuple[str, str]
) -> None:
    """A text of a stranger would hold up everything else."""
    assert_linear(work, *pair, 20_000)


@settings(max_examples=15, deadline=None)
@given(pair=texts_of_units | random_units)
def test_redaction_is_linear(pair: tuple[str, str]) -> None:
    """One document leaf of 400 kB once stopped the process for 27 seconds."""
    assert_linear(redacted, *pair, 5_000)


def test_runs_of_marks_are_cut() -> None:
    """Sorting 100,000 combining marks takes eleven seconds, in which no thread runs."""
    text = nfkc("a" + "\u0315\u0316" * 50_000 + "b")
    assert text == "a" + "\u0316" * (MAX_MARKS // 2) + "\u0315" * (MAX_MARKS // 2) + "b"
    assert nfkc(text) == text


def test_ligatures_of_a_phrase_are_bounded() -> None:
    """One character that becomes eighteen would make a megabyte out of a field."""
    assert len(nfkc("x\ufdfa" * 100_000)) < 300_000
    assert nfkc("\ufdfa x \ufdfa") == unicodedata.normalize("NFKC", "\ufdfa x \ufdfa")


@given(st.text())
def test_ordinary_text_is_in_nfkc(text: str) -> None:
    """The text that is sent would differ from what the detectors were written for."""
    if re.search("[\u0f73-\u0f81]", text) is None:
        assert nfkc(text) == unicodedata.normalize("NFKC", text)


def test_every_mark_of_unicode_is_known() -> None:
    """A mark that is not counted makes the run, and the time, as long as the sender likes."""
    marks = [
        chr(code)
        for code in range(0x110000)
        if unicodedata.combining(unicodedata.normalize("NFKD", chr(code))[0])
    ]
    assert all(map(is_mark, marks))
    assert max(marks) < "\U0001f000"
    for mark in marks:
        assert nfkc("\u0327" + mark * 40) == nfkc("\u0327" + mark * 29)


def test_the_search_for_known_values_is_limited() -> None:
    """A thousand values that begin alike would be compared at every place of the text."""
    calls = 0

    def check() -> None:
        nonlocal calls
        calls += 1
        if calls > 3:
            raise TimeoutError

    vault = Vault(check)
    for length in range(8, 1_000):
        vault.learn("secret", "a" * length + "b")
    with pytest.raises(TimeoutError):
        list(vault.known("a" * 100_000))


def test_no_name_of_an_attribute_leads_through_all_others() -> None:
    """The work would grow with the square of the number of attributes."""
    taken = {f"{'document.' * depth}x": depth for depth in range(200)}
    attributes = dict(taken)
    keep(attributes, "x", "new")
    keep(attributes, "x", "newer")
    assert len(attributes) == len(taken) + 2
    assert attributes.items() > taken.items()
    assert max(map(len, attributes)) == max(map(len, taken))
