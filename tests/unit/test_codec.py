"""Conversion between bytes and typed objects."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from schemas.codec import decode, decode_json, encode
from schemas.errors import InvalidEvent, SchemaError
from schemas.event import Event, Origin
from schemas.triaged import Case

ROOT = Path(__file__).parents[2]
PACKAGES = ("schemas", "inference", "agents", "streams")
DECODING = {"convert", "decode", "decode_lines", "Decoder"}
TWO_THREADS = """
import threading
import msgspec
from schemas.codec import decode

inspecting, decoded = threading.Event(), threading.Event()

def slow_annotation():
    inspecting.set()
    decoded.wait(0.5)  # without `prepared`, the other thread decodes in this time
    return int

class Inner(msgspec.Struct):
    number: "slow_annotation()"

class Outer(msgspec.Struct):
    inner: Inner

def read():
    return decode(b'{"inner": {"number": 1}}', Outer)

first = threading.Thread(target=read)
first.start()
inspecting.wait()
print(read().inner.number)
decoded.set()
first.join()
"""

EVENT = Event(
    id="é-1", kind="alert", event={"a": [1, 2.5, None, {"b": "\x00"}]}, attributes={"n": 2**64 - 1}
)


def test_an_encoded_event_is_decoded_unchanged() -> None:
    """A case on the enrichment topic would be read back as a different event."""
    assert decode(encode(EVENT), Event) == EVENT


def test_defaults_are_not_sent() -> None:
    """Every event would carry many nulls, and a new optional field would change all our bytes."""
    assert (
        encode(Event(id="1", kind="ticket", text="é"))
        == '{"id":"1","kind":"ticket","text":"é"}'.encode()
    )


@pytest.mark.parametrize(
    "data", [b"", b"{", b"\xff", b"NaN", b"1e999", b"[" * 2000, rb'"\ud800"', b"{} {}"]
)
def test_bytes_that_are_not_json_are_refused(data: bytes) -> None:
    """The decoder's own exception would reach the worker."""
    with pytest.raises(InvalidEvent, match=r"not JSON.*send one UTF-8 JSON object") as caught:
        decode_json(data)
    assert caught.value.stage == "decode"
    assert isinstance(caught.value, SchemaError)


@pytest.mark.parametrize(
    "data",
    [b"[]", b"{}", b'{"topic":1}', b'{"topic":"t","offset":"7"}', b'{"topic":"t","extra":1}'],
)
def test_our_own_types_are_strict(data: bytes) -> None:
    """A damaged record of ours would be accepted as a good one."""
    with pytest.raises(InvalidEvent) as caught:
        decode(data, Origin)
    assert caught.value.stage == "validate"


def test_a_case_too_deep_to_be_written_again_is_refused() -> None:
    """Such a record on the enrichment topic would stop its agent, again after every restart."""
    deep = (
        b'{"event":{"id":"x","kind":"alert","event":' + b'{"a":' * 300 + b"1" + b"}" * 300 + b"}}"
    )
    with pytest.raises(InvalidEvent, match="nested deeper"):
        decode(deep, Case)


def test_two_threads_may_decode_a_type_for_the_first_time_at_once() -> None:
    """A worker would end with SIGSEGV, because two threads read their first records at once."""
    done = subprocess.run(
        [sys.executable, "-c", TWO_THREADS],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "1\n"), done.stderr


def unprepared(source: str) -> Iterator[str]:
    """The calls of msgspec that decode to a type which is not prepared."""
    for node in ast.walk(ast.parse(source)):
        if not (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in DECODING
            and ast.unparse(node.func).startswith("msgspec.")
        ):
            continue
        place = 0 if node.func.attr == "Decoder" else 1
        types = [each.value for each in node.keywords if each.arg == "type"]
        for type_ in types or node.args[place : place + 1]:
            names = {each.id for each in ast.walk(type_) if isinstance(each, ast.Name)}
            # What Python itself brings has no fields that msgspec would inspect.
            if "prepared" not in names and not names <= {"Any", "dict", "list", "str", "tuple"}:
                yield ast.unparse(node)


def test_every_type_is_prepared() -> None:
    """A type that is decoded elsewhere as well would not be protected by the lock."""
    modules = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
    modules.remove(ROOT / "schemas" / "codec.py")
    sources = {path: path.read_text("utf-8") for path in modules}
    found = {
        str(path.relative_to(ROOT)): list(unprepared(source))
        for path, source in sources.items()
        if "import msgspec" in source
    }
    assert len(found) > 50
    assert {path: calls for path, calls in found.items() if calls} == {}


@pytest.mark.parametrize(
    ("source", "count"),
    [
        ("msgspec.json.decode(data, type=Facts)", 1),
        ("msgspec.convert(document, dict[str, Facts])", 1),
        ("msgspec.msgpack.Decoder(Facts)", 1),
        ("msgspec.json.decode(data, type=prepared(Facts))", 0),
        ("msgspec.convert(document, prepared(Facts), strict=False)", 0),
        ("msgspec.json.decode(data, type=dict[str, Any])", 0),
        ("msgspec.json.decode(data)", 0),
    ],
)
def test_a_type_that_is_not_prepared_is_found(source: str, count: int) -> None:
    """The test above would pass for every call."""
    assert len(list(unprepared(source))) == count
