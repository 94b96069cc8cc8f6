"""Open cases whose words are nearly the same, found without comparing each case with each.

The words of a case are in bands of hashes (`inference.minhash`). The table `near` finds the cases
that have a band in common. Their words are then compared. How many are compared is bounded, however
many cases are open: of a band so many groups, and of a group so many cases. A group holds the cases
with the same fingerprint.
"""

import hashlib
import sqlite3
import struct
from collections import Counter
from collections.abc import Callable

import msgspec

from inference.minhash import Bands, likeness, masked, shingles
from schemas.codec import prepared
from schemas.triaged import Case
from streams.cases.entries import text_of
from streams.cases.query import CaseSummary

MIN_LIKENESS = 0.35
"""Two cases are near each other from this share of common pieces on."""
MAX_CHARS = 600
"""So much of a title and of a text is compared."""
BANDS = Bands(16, 2)
MAX_GROUPS = 20
"""So many groups of a band are looked at."""
MAX_OF_GROUP = 25
MAX_COMPARED = 200
"""With so many cases a case is compared, those with the most bands in common first."""
BYTES = 8

_summary = msgspec.msgpack.Decoder(prepared(CaseSummary))


class NearCase(msgspec.Struct, frozen=True):
    """An open case, and the share of the pieces of words that it has in common, in [0, 1]."""

    summary: CaseSummary
    likeness: float


def pieces_of(case: Case) -> frozenset[int]:
    """The pieces of the words of a case, without numbers and addresses."""
    title, text = text_of(case)
    return shingles(masked(f"{title[:MAX_CHARS]} {text[:MAX_CHARS]}"))


def keep_bands(
    db: sqlite3.Connection, num: int, case: Case | None, fingerprint: int | None
) -> None:
    """Let a case be found by its words; None if it is not open (any more)."""
    (before,) = db.execute("SELECT bands FROM cases WHERE num = ?", (num,)).fetchone()
    after = None if case is None else _packed(case, num if fingerprint is None else fingerprint)
    if before == after:
        return
    if before is not None:
        db.executemany("DELETE FROM near WHERE (band, grp, num) = (?, ?, ?)", _rows(before, num))
    if after is not None:
        db.executemany("INSERT OR IGNORE INTO near VALUES (?, ?, ?)", _rows(after, num))
    db.execute("UPDATE cases SET bands = ? WHERE num = ?", (after, num))


def near_cases(
    db: sqlite3.Connection, num: int, read_case: Callable[[int], Case | None]
) -> list[NearCase]:
    """The open cases near a stored one, the nearest first; those of its own group are left out."""
    case = read_case(num)
    if case is None:
        return []
    pieces = pieces_of(case)
    found = []
    for other in _candidates(db, num):
        other_case = read_case(other)
        alike = 0.0 if other_case is None else likeness(pieces, pieces_of(other_case))
        if alike >= MIN_LIKENESS:
            row = db.execute("SELECT summary FROM cases WHERE num = ?", (other,)).fetchone()
            found.append(NearCase(_summary.decode(row[0]), round(alike, 4)))
    return sorted(found, key=lambda each: (-each.likeness, each.summary.id))


def _candidates(db: sqlite3.Connection, num: int) -> list[int]:
    """The numbers of the cases to compare a case with, those of its own group left out."""
    (packed,) = db.execute("SELECT bands FROM cases WHERE num = ?", (num,)).fetchone()
    if packed is None:
        return []
    common: Counter[int] = Counter()
    for band, own, _ in _rows(packed, num):
        for group in _groups(db, band, own):
            common.update(
                other
                for (other,) in db.execute(
                    "SELECT num FROM near WHERE band = ? AND grp = ? ORDER BY num LIMIT ?",
                    (band, group, MAX_OF_GROUP),
                )
            )
    ranked = sorted(common, key=lambda other: (-common[other], other))
    return ranked[:MAX_COMPARED]


def _groups(db: sqlite3.Connection, band: int, own: int) -> list[int]:
    """The first groups of a band but `own`; each is one look-up, however many cases it holds."""
    groups: list[int] = []
    after: int | None = None
    while len(groups) < MAX_GROUPS:
        row = db.execute(
            "SELECT grp FROM near WHERE band = ?1 AND (?2 IS NULL OR grp > ?2) "
            "ORDER BY grp LIMIT 1",
            (band, after),
        ).fetchone()
        if row is None:
            break
        (after,) = row
        if after != own:
            groups.append(after)
    return groups


def _packed(case: Case, group: int) -> bytes:
    """The group and the bands of a case, which are those of its domain and tenant alone."""
    scope = f"{case.triaged.domain}\0{case.triaged.tenant}".encode("utf-8", "replace")
    hashes = [
        hashlib.blake2b(struct.pack(f"{len(band)}q", *band), key=_key(scope), digest_size=BYTES)
        for band in BANDS.of(pieces_of(case))
    ]
    return struct.pack(">q", group) + b"".join(each.digest() for each in hashes)


def _key(scope: bytes) -> bytes:
    return hashlib.blake2b(scope, digest_size=16).digest()


def _rows(packed: bytes, num: int) -> list[tuple[int, int, int]]:
    group, *bands = struct.unpack(f">{len(packed) // BYTES}q", packed)
    return [(band, group, num) for band in bands]
