"""`python -m benchmarks.repeats`: what the cache of vectors saves on documents of vendors.

A rule that fires again sends the same alert with other ids, times and addresses, and often about
another person and computer. Each shipped alert of a vendor stands for such a rule: copies of it get
other values in these places. The first figures say how many copies have the same input text as
their sample. Then `triage classify` reads such copies in random order, with and without the cache,
in turns, and with `--before` also as it was at an earlier commit. It is counted in seconds of the
processor, because other programs may use it too.

Tickets are left out: people do not write the same words again.
"""

import argparse
import os
import re
import resource
import string
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any

import orjson

from benchmarks.earlier import variables
from benchmarks.rows import Measurement, show, write
from inference.model.artifact import DEFAULT_MODEL, load_artifact
from inference.model.encoder import open_tokenizer
from inference.model.input_text import render
from schemas.event import Event, Origin
from schemas.formats import read_record
from tests.shipped_samples import Sample, shipped_samples

RESULTS = Path(__file__).parent / "repeats.ndjson"
RECEIVED_AT = 1_930_000_000.0
COPIES = 5
NO_CACHE, CACHE, BEFORE = "no cache", "cache", "before"
CACHED_TEXTS = {NO_CACHE: "0", CACHE: "8192", BEFORE: "0"}
SMALL_NUMBER = 99_999
"""A number above is an id, a port or a time."""

_UUID = re.compile(r"\b[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}\b")
_ADDRESS = re.compile(r"\b(?:\d{1,3}\.){3}\d{1,3}\b")
_TIME = re.compile(r"(\d{4}-\d\d-\d\d[T ]\d\d:)\d\d:\d\d")
_HEXADECIMAL = re.compile(r"\b(?=[a-fA-F]*\d)[0-9a-fA-F]{8,}\b")
_DIGITS = re.compile(r"(?<=\d)\d{4,}")
_MAILBOX = re.compile(r"\b[A-Za-z0-9._+-]+(?=@)")
_NAME = re.compile(r"[A-Za-z0-9._\\-]{2,40}")
_NAME_OF_PERSON = re.compile(
    r"user|account_?name|actor|principal|login|sender|recipient", re.IGNORECASE
)
_NAME_OF_COMPUTER = re.compile(r"host|computer|device_?name", re.IGNORECASE)
FAMILIES = (
    "abara", "berg", "castro", "demir", "ferrer", "garcia", "haddad", "ito", "jansen", "kaur",
    "lopez", "meyer", "novak", "okafor", "petrov", "quinn", "rossi", "silva", "tanaka", "weber",
)  # fmt: skip

Change = Callable[[str, str, Random], str]
"""From the key and the text of a field to the text in a copy."""


def other_ids(_key: str, text: str, random: Random) -> str:
    """The text with other ids, times, addresses and long numbers."""

    def digits(match: re.Match[str]) -> str:
        choices = "0123456789abcdef"
        return "".join(
            random.choice(choices if char.isalpha() else "0123456789") if char.isalnum() else char
            for char in match[0]
        )

    text = _UUID.sub(digits, text)
    text = _ADDRESS.sub(lambda _: f"10.{random.randrange(250)}.{random.randrange(250)}.7", text)
    text = _TIME.sub(
        lambda match: f"{match[1]}{random.randrange(10, 60)}:{random.randrange(10, 60)}", text
    )
    return _DIGITS.sub(digits, _HEXADECIMAL.sub(digits, text))


def other_people(key: str, text: str, random: Random) -> str:
    """The text with other ids, and about other people and computers."""
    person = f"{random.choice(string.ascii_lowercase)}.{random.choice(FAMILIES)}"
    text = _MAILBOX.sub(person, other_ids(key, text, random))
    if not _NAME.fullmatch(text):
        return text
    if _NAME_OF_COMPUTER.search(key):
        return f"ws-{random.randrange(1000)}"
    return person if _NAME_OF_PERSON.search(key) else text


CHANGES: dict[str, Change] = {
    "other ids, times and addresses": other_ids,
    "other people and computers, too": other_people,
}


def copy(value: Any, change: Change, random: Random, key: str = "") -> Any:
    """A copy of a document whose texts and large numbers are others."""
    if isinstance(value, str):
        return change(key, value, random)
    if isinstance(value, dict):
        return {name: copy(child, change, random, name) for name, child in value.items()}
    if isinstance(value, list):
        return [copy(child, change, random, key) for child in value]
    if isinstance(value, int) and value > SMALL_NUMBER:
        return value + random.randrange(5_000)
    return value


def main() -> None:
    """Count the texts that come again, then measure what that saves."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.repeats", description=main.__doc__)
    parser.add_argument("--rules", type=int, default=60, help="rules that fire")
    parser.add_argument("--times", type=int, default=15, help="how often each does, on average")
    parser.add_argument("--before", type=Path, help="a work tree of the commit to compare with")
    parser.add_argument("--out", type=Path, default=RESULTS, help="the file for the rows")
    arguments = parser.parse_args()
    samples = list(alerts())
    rows = [same_texts(change, samples) for change in CHANGES]
    with tempfile.TemporaryDirectory() as directory:
        for change in CHANGES:
            rules = Random(0).sample(samples, arguments.rules)
            rows += classify_rows(change, rules, arguments.times, Path(directory), arguments.before)
    show(rows)
    write(rows, arguments.out)


def alerts() -> Iterator[Sample]:
    """The samples of alerts that are documents of one event."""
    for sample in shipped_samples():
        is_document = isinstance(sample.record, dict) and sample.kind == "alert"
        if is_document and len(_events(sample, sample.record)) == 1:
            yield sample


def same_texts(change: str, samples: Sequence[Sample]) -> Measurement:
    """The share of copies that the encoder reads as it reads their sample."""
    artifact = load_artifact(DEFAULT_MODEL)
    tokenizer = open_tokenizer(artifact.directory, artifact.manifest.encoder)
    same = 0
    for number, sample in enumerate(samples):
        records = [sample.record]
        for place in range(COPIES):
            random = Random(number * COPIES + place)
            records.append(copy(sample.record, CHANGES[change], random))
        texts = [render(event) for record in records for event in _events(sample, record)]
        first, *others = tokenizer.encode(texts)
        same += sum(ids == first for ids in others)
    count = len(samples) * COPIES
    note = f"{same} of {count} copies of {len(samples)} alerts"
    return Measurement(f"same text, {change}", same / count, "ratio", note=note)


def _events(sample: Sample, record: Any) -> list[Event]:
    origin = Origin(topic=sample.format.name, partition=0, offset=sample.number)
    readings = read_record(
        orjson.dumps(record), origin=origin, kind=sample.kind, received_at=RECEIVED_AT
    )
    return [each.event for each in readings if isinstance(each.event, Event)]


def classify_rows(
    change: str, rules: Sequence[Sample], times: int, directory: Path, before: Path | None = None
) -> list[Measurement]:
    """Alerts per second of the processor of `triage classify`, without and with the cache.

    With `before`, the work tree of an earlier commit, also as it was there.
    """
    random, file, count = Random(0), directory / "alerts.ndjson", times * len(rules)
    drawn = (random.choice(rules).record for _ in range(count))
    lines = [orjson.dumps(copy(record, CHANGES[change], random)) for record in drawn]
    file.write_bytes(b"\n".join(lines) + b"\n")
    ways = [NO_CACHE, CACHE, *([BEFORE] if before else [])]
    spent_s = {way: -2 * _processor_s(Path(os.devnull), way, before) for way in ways}
    for way in [*ways, *reversed(ways)]:
        spent_s[way] += _processor_s(file, way, before)
    rates = {way: 2 * count / spent for way, spent in spent_s.items()}
    name, unit = f"triage classify, {change}", "alerts/processor-s"
    note = f"{count} alerts of {len(rules)} rules, twice"
    baselines = [NO_CACHE, *([BEFORE] if before else [])]
    rows = [Measurement(f"{name}, {way}", rates[way], unit, note=note) for way in baselines]
    return rows + [
        Measurement(
            f"{name}, cache to {way}",
            rates[CACHE],
            unit,
            f"{name}, {way}",
            rates[CACHE] / rates[way],
            note,
        )
        for way in baselines
    ]


def _processor_s(file: Path, way: str, before: Path | None) -> float:
    command = [sys.executable, "-m", "streams.cli", "classify", "--domain", "alerts", str(file)]
    environment = os.environ | {
        "TRIAGE_MODEL__CACHED_TEXTS": CACHED_TEXTS[way],
        # The self-test would count as well, and could choose other instructions in each run.
        "TRIAGE_MODEL__INSTRUCTION_SET": "default",
        "TRIAGE_MODEL__REPLICAS": "1",
        "TRIAGE_MODEL__THREADS_PER_REPLICA": "1",
    }
    source = before if way == BEFORE else None
    if source is not None:
        environment = variables(source, environment)
    started = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        command,
        env=environment,
        cwd=source,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=True,
    )
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return ended.ru_utime - started.ru_utime + ended.ru_stime - started.ru_stime


if __name__ == "__main__":
    main()
