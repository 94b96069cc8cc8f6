"""The formats that ship with the product: one file a vendor, in the mapping language.

Of each format only the conditions are read at first, the rest with the first document that may be
in it: reading everything takes a quarter of a second.
"""

import tomllib
from collections import Counter
from collections.abc import Iterator, Sequence
from collections.abc import Mapping as Conditions
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

import msgspec

from schemas.codec import prepared
from schemas.formats.document import Document
from schemas.formats.mapped import Mapping
from schemas.formats.mapping_options import Condition

_PACKAGE = "schemas.formats"
_BLOCK = "[[mappings]]"
_WHEN = "\n[mappings.when]\n"
# Formats that many products write come last, and envelopes after them.
_LAST = ("decoded", "envelopes")


class _File(msgspec.Struct, forbid_unknown_fields=True):
    mappings: list[Mapping]


class _Block(NamedTuple):
    """One `[[mappings]]` of a file, which is read when a document may be in its format."""

    file: str
    text: str

    @property
    def when(self) -> Conditions[str, Any]:
        """The conditions: `when` is the first table of a block, and `fields` the next one."""
        conditions = self.text.partition(_WHEN)[2].partition("\n[mappings.")[0]
        return _parse(self.file, conditions)

    def mapping(self) -> Mapping:
        """The whole mapping."""
        try:
            (mapping,) = msgspec.convert(_parse(self.file, self.text), prepared(_File)).mappings
        except (msgspec.ValidationError, ValueError) as error:
            raise _damaged(self.file, error) from None
        return mapping


class FormatIndex:
    """Mappings in order, found by the keys of a document.

    Each mapping is filed under a key that its documents must have, the one that the fewest other
    mappings ask for. So of a hundred mappings only a few have to be read and tried.
    """

    def __init__(self, mappings: Sequence[Mapping | _Block]) -> None:
        self._mappings = list(mappings)
        self._by_key: dict[str, list[int]] = {}
        self._always: list[int] = []
        required = [_required(mapping.when) for mapping in mappings]
        asking = Counter(path.split(".")[0] for paths in required for path in paths)
        for place, paths in enumerate(required):
            if not paths:
                self._always.append(place)
                continue
            parts = min(paths, key=lambda path: asking[path.split(".")[0]]).split(".")
            for cut in range(1, len(parts) + 1):
                self._by_key.setdefault(".".join(parts[:cut]), []).append(place)

    @property
    def mappings(self) -> tuple[Mapping, ...]:
        """All of them.

        Raises:
            ValueError: a file of the package is damaged.
        """
        return tuple(self._at(place) for place in range(len(self._mappings)))

    def recognise(self, document: Document) -> Mapping | None:
        """The first mapping whose conditions hold, or None."""
        return next(self._candidates(document), None)

    def all_of(self, document: Document) -> list[Mapping]:
        """Every mapping whose conditions hold."""
        return list(self._candidates(document))

    def _candidates(self, document: Document) -> Iterator[Mapping]:
        places = set(self._always)
        for key in document.keys() & self._by_key.keys():
            places.update(self._by_key[key])
        for place in sorted(places):
            mapping = self._at(place)
            if mapping.recognises(document):
                yield mapping

    def _at(self, place: int) -> Mapping:
        mapping = self._mappings[place]
        if isinstance(mapping, _Block):
            mapping = self._mappings[place] = mapping.mapping()
        return mapping


@cache
def shipped_formats() -> FormatIndex:
    """The formats that ship with the product.

    Raises:
        ValueError: a file of the package is damaged.
    """
    return FormatIndex([_Block(name, block) for name, text in _files() for block in _blocks(text)])


def source_of(name: str) -> str | None:
    """The text of a shipped format as it stands in its file, or None if it does not ship."""
    for _, text in _files():
        for block in _blocks(text):
            if f'\nname = "{name}"\n' in block:
                return block.rstrip() + "\n"
    return None


def samples_of(name: str) -> str | None:
    """The JSON text of the samples of a shipped format, or None if it has none."""
    sample = files(_PACKAGE).joinpath("samples", f"{name}.json")
    return sample.read_text("utf-8") if sample.is_file() else None


def _files() -> list[tuple[str, str]]:
    """Name and text of each file, in the order in which formats are tried."""
    vendors = files(_PACKAGE).joinpath("vendors")
    names = sorted(entry.name for entry in vendors.iterdir() if entry.name.endswith(".toml"))
    names.sort(key=lambda name: _LAST.index(stem) + 1 if (stem := name[:-5]) in _LAST else 0)
    return [(name, vendors.joinpath(name).read_text("utf-8")) for name in names]


def _blocks(text: str) -> list[str]:
    return [_BLOCK + block for block in f"\n{text}".split(f"\n{_BLOCK}")[1:]]


def _parse(file: str, text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise _damaged(file, error) from None


def _damaged(file: str, error: Exception) -> ValueError:
    return ValueError(f"the shipped format file {file} is damaged: {error}")


def _required(when: Conditions[str, Any]) -> list[str]:
    """The paths that every document of this format has."""
    return [
        path for path, expected in when.items() if expected is not False and not _absent(expected)
    ]


def _absent(expected: object) -> bool:
    if isinstance(expected, dict):  # not yet read as a `Condition`
        return "absent" in expected
    return isinstance(expected, Condition) and bool(expected.absent)
