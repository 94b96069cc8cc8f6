"""What a commit says besides its offset."""

import msgspec
import pytest

from streams.kafka.commit_note import CommitNote, LastRecord, fingerprint

LARGEST = 2**63 - 1


@pytest.mark.parametrize(
    "note",
    [
        CommitNote(),
        CommitNote(LastRecord(7, 1)),
        CommitNote(starts=2),
        CommitNote(trying=0),
        CommitNote(LastRecord(LARGEST, 2**32 - 1), LARGEST, LARGEST),
    ],
)
def test_the_next_worker_reads_what_was_written(note: CommitNote) -> None:
    """A log that is another one, or an event that kills workers, would not be recognised."""
    assert CommitNote.decode(note.encode()) == note
    assert len(note.encode()) <= 100, "brokers may be told to take no more"


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "consumed by another program",
        "{",
        "[1]",
        "7",
        "null",
        '{"l":7}',
        '{"s":"two"}',
        '{"s":1e400}',
        "é\x00",
        "[" * 5000,
    ],
)
def test_what_another_program_wrote_is_no_note(text: str | None) -> None:
    """A group whose offsets were reset with Kafka's tools could not be read any more."""
    assert CommitNote.decode(text) == CommitNote()


def test_a_note_of_a_later_version_is_read_as_far_as_it_is_known() -> None:
    """During an upgrade, workers of the old version would forget which log they read."""
    text = msgspec.json.encode({"l": (7, 1), "new": {"x": 1}}).decode()
    assert CommitNote.decode(text) == CommitNote(LastRecord(7, 1))


def test_another_record_at_the_same_offset_has_another_fingerprint() -> None:
    """A topic that was deleted and made again would be taken for the one that was read."""
    marks = [
        fingerprint(None, b"v", 5),
        fingerprint(b"k", b"v", 5),
        fingerprint(b"k", b"w", 5),
        fingerprint(b"k", None, 5),
        fingerprint(b"k", b"v", 6),
        fingerprint(b"k", b"v", 5 + 2**31),
    ]
    assert len(set(marks)) == len(marks)
    assert fingerprint(b"k", b"v", 5) == marks[1]
    assert fingerprint(None, b"0", 16) != fingerprint(None, b"8", 24), "they cancelled out"
    assert all(0 <= mark < 2**32 for mark in marks)
    assert fingerprint(None, None, -1) >= 0, "a record without a timestamp"
