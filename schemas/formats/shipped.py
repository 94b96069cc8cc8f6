"""The formats that ship with the product: one file a vendor, in the mapping language.

They are read once, when the first record needs them.
"""

import tomllib
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.resources import files

import msgspec

from schemas.formats.document import Document
from schemas.formats.mapped import Mapping

_PACKAGE = "schemas.formats"
_BLOCK = "[[mappings]]"
# Formats that many products write come last, and envelopes after them.
_LAST = ("decoded", "envelopes")


class _File(msgspec.Struct, forbid_unknown_fields=True):
    mappings: list[Mapping]


class FormatIndex:
    """Mappings in order, found by the keys of a document.

    The first path of a mapping begins with a key that the document must have. So of a hundred
    mappings only a few have to be tried.
    """

    def __init__(self, mappings: Sequence[Mapping]) -> None:
        self.mappings = tuple(mappings)
        self._by_key: dict[str, list[int]] = {}
        self._always: list[int] = []
        for place, mapping in enumerate(self.mappings):
            path = _required(mapping)
            if path is None:
                self._always.append(place)
                continue
            parts = path.split(".")
            for cut in range(1, len(parts) + 1):
                self._by_key.setdefault(".".join(parts[:cut]), []).append(place)

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
            if self.mappings[place].recognises(document):
                yield self.mappings[place]


@cache
def shipped_formats() -> FormatIndex:
    """The formats that ship with the product.

    Raises:
        ValueError: a file of the package is damaged.
    """
    vendors = files(_PACKAGE).joinpath("vendors")
    names = sorted(entry.name for entry in vendors.iterdir() if entry.name.endswith(".toml"))
    names.sort(key=lambda name: _LAST.index(stem) + 1 if (stem := name[:-5]) in _LAST else 0)
    return FormatIndex(
        [
            mapping
            for name in names
            for mapping in _mappings(name, vendors.joinpath(name).read_text("utf-8"))
        ]
    )


def source_of(name: str) -> str | None:
    """The text of a shipped format as it stands in its file, or None if it does not ship."""
    for entry in files(_PACKAGE).joinpath("vendors").iterdir():
        if not entry.name.endswith(".toml"):
            continue
        for block in entry.read_text("utf-8").split(_BLOCK)[1:]:
            if f'\nname = "{name}"\n' in block:
                return _BLOCK + block.rstrip() + "\n"
    return None


def samples_of(name: str) -> str | None:
    """The JSON text of the samples of a shipped format, or None if it has none."""
    sample = files(_PACKAGE).joinpath("samples", f"{name}.json")
    return sample.read_text("utf-8") if sample.is_file() else None


def _mappings(name: str, text: str) -> list[Mapping]:
    try:
        return msgspec.convert(tomllib.loads(text), _File).mappings
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise ValueError(f"the shipped format file {name} is damaged: {error}") from None


def _required(mapping: Mapping) -> str | None:
    """A path that every document of this format has; None if all its conditions hold without."""
    for path, expected in mapping.when.items():
        if not getattr(expected, "absent", None) and expected is not False:
            return path
    return None
