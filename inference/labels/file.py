"""Reads `labels.toml`: a table for each domain, axis and label.

    [tickets.queue.billing]
    description = "Invoices, payments and refunds."
    examples = ["I was charged twice."]
    renamed_from = "payments"

Who writes the configuration writes this file too, so its texts are trusted. The label sets remain
those of the model: the file describes and renames labels, and adds none.
"""

import difflib
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from inference.errors import ConfigError
from inference.labels.renames import Renames
from inference.options import Options
from inference.toml_file import parse_toml
from schemas.codec import prepared
from schemas.event import DOMAINS, Domain
from schemas.folding import fold
from schemas.formats.level_words import LEVELS
from schemas.visible_text import one_line

MAX_LABELS_OF_AXIS = 1_000
MAX_NAME_CHARS = 200
MAX_DESCRIPTION_CHARS = 500
MAX_EXAMPLES = 10
MAX_EXAMPLE_CHARS = 500
LIKENESS = 0.6
"""How alike two names must be, from 0 to 1, for one to be called a misspelling of the other."""

_Text = Annotated[str, Meta(min_length=1, max_length=500, pattern=r"\S")]
_SEPARATORS = re.compile(r"[\s_-]+")

Place = tuple[Domain, str, str]
"""A domain, an axis of it, and a label of the axis."""


class LabelEntry(Options, frozen=True):
    """What the file says about one label; `description` is None if it says nothing.

    `renamed_from` is the name that the label has in models that were trained before.
    """

    description: _Text | None = None
    examples: Annotated[list[_Text], Meta(max_length=MAX_EXAMPLES)] = msgspec.field(
        default_factory=list
    )
    renamed_from: Annotated[str, Meta(min_length=1, max_length=MAX_NAME_CHARS)] | None = None


Axes = Mapping[str, Mapping[str, LabelEntry]]
Descriptions = Mapping[str, Mapping[str, str]]
"""The description of each label that has one, by axis."""


@dataclass(frozen=True)
class LabelsFile:
    """The labels of each axis of each domain, in the order of the file."""

    domains: Mapping[Domain, Axes] = field(default_factory=dict)

    def axes(self, domain: str) -> Axes:
        """The axes of a domain; none if the file does not name the domain."""
        return next((axes for name, axes in self.domains.items() if name == domain), {})

    def descriptions(self, domain: str) -> dict[str, dict[str, str]]:
        """The descriptions of a domain. An axis without any is left out."""
        described = {
            axis: {label: entry.description for label, entry in labels.items() if entry.description}
            for axis, labels in self.axes(domain).items()
        }
        return {axis: labels for axis, labels in described.items() if labels}

    def places(self) -> Iterator[Place]:
        """Every label with its domain and axis, in the order of the file."""
        for domain, axes in self.domains.items():
            for axis, labels in axes.items():
                for label in labels:
                    yield domain, axis, label

    @cached_property
    def renames(self) -> Renames:
        """The old names, and the new name of each."""
        names: dict[str, dict[str, dict[str, str]]] = {}
        for domain, axes in self.domains.items():
            for axis, labels in axes.items():
                for label, entry in labels.items():
                    if entry.renamed_from is not None:
                        of_axis = names.setdefault(domain, {}).setdefault(axis, {})
                        of_axis[entry.renamed_from] = label
        return Renames(names)


NO_LABELS = LabelsFile()


def read_labels(path: Path) -> LabelsFile:
    """Read and check a labels file.

    Raises:
        ConfigError: the file cannot be read or says what cannot be meant; one sentence names the
            label and says what to do.
    """
    try:
        document = parse_toml(path.read_bytes())
    except FileNotFoundError:
        raise ConfigError(
            f"{path} does not exist; make it with triage labels init, or correct labels.path"
        ) from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error}") from None
    except ValueError as error:
        raise ConfigError(f"{path} cannot be used: {error}") from None
    try:
        return to_labels(document)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None


def to_labels(document: Mapping[str, Any]) -> LabelsFile:
    """The labels of a document that was read from TOML.

    Raises:
        ConfigError: see `read_labels`.
    """
    domains: dict[Domain, Axes] = {}
    for name, axes in document.items():
        domain = next((each for each in DOMAINS if each == name), None)
        if domain is None:
            raise ConfigError(f"{shown(name)} is no domain; {_use_one_of(name, DOMAINS)}")
        domains[domain] = {
            axis: _read_axis(f"{domain}.{shown(axis)}", axis, labels)
            for axis, labels in _table(domain, axes).items()
        }
    return LabelsFile(domains)


def likeliest(name: str, names: Collection[str]) -> str | None:
    """The name among `names` that a misspelt one most likely means; None if none is like it."""
    by_folded = {comparable(each): each for each in sorted(names, reverse=True)}
    close = difflib.get_close_matches(comparable(name), sorted(by_folded), n=1, cutoff=LIKENESS)
    return by_folded[close[0]] if close else None


def comparable(name: str) -> str:
    """A name without regard to case, width, and spaces, hyphens and underscores."""
    return _SEPARATORS.sub(" ", fold(name)).strip()


def shown(name: object) -> str:
    """A name of the file as an error quotes it."""
    return repr(one_line(str(name), MAX_NAME_CHARS))


def _read_axis(place: str, axis: str, table: Any) -> dict[str, LabelEntry]:
    labels = _table(place, table)
    if len(labels) > MAX_LABELS_OF_AXIS:
        raise ConfigError(
            f"{place} has {len(labels)} labels; give at most {MAX_LABELS_OF_AXIS} for each axis"
        )
    entries = {
        label: _read_entry(f"{place}.{shown(label)}", label, entry)
        for label, entry in labels.items()
    }
    _check_names(place, entries)
    _check_renames(place, axis, entries)
    return entries


def _read_entry(place: str, label: str, table: Any) -> LabelEntry:
    if not label.strip() or len(label) > MAX_NAME_CHARS or one_line(label, len(label)) != label:
        raise ConfigError(
            f"{place} is no name of a label; use 1 to {MAX_NAME_CHARS} visible characters, without "
            "spaces around them"
        )
    try:
        return msgspec.convert(_table(place, table), prepared(LabelEntry))
    except msgspec.ValidationError as error:
        raise ConfigError(f"{place}: {error}; correct it or leave it out") from None


def _check_names(place: str, entries: Mapping[str, LabelEntry]) -> None:
    """Refuse two names that a person or an LLM would take for one."""
    seen: dict[str, str] = {}
    for label in entries:
        earlier = seen.setdefault(comparable(label), label)
        if earlier != label:
            raise ConfigError(
                f"{place} has {shown(earlier)} and {shown(label)}, which read as one name; rename "
                "or remove one of them"
            )


def _check_renames(place: str, axis: str, entries: Mapping[str, LabelEntry]) -> None:
    by_name = {comparable(label): label for label in entries}
    renamed: dict[str, str] = {}
    for label, entry in entries.items():
        old = entry.renamed_from
        if old is None:
            continue
        holder = by_name.get(comparable(old), label)
        if old == label or holder != label:
            raise ConfigError(
                f"{place}.{shown(label)} is renamed from {shown(old)}, which is still a label; "
                "remove renamed_from, or the old label"
            )
        if old in LEVELS.get(axis, ()):
            raise ConfigError(
                f"{place}.{shown(label)} is renamed from {shown(old)}, but rules and limits depend "
                f"on this {axis}; keep its name"
            )
        if renamed.setdefault(old, label) != label:
            raise ConfigError(
                f"{place} has two labels that are renamed from {shown(old)}; leave one of them"
            )


def _table(place: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ConfigError(
            f"{place} is no table; write [DOMAIN.AXIS.LABEL] for each label, for instance "
            "[tickets.queue.billing]"
        )
    return value


def _use_one_of(name: str, allowed: Collection[str]) -> str:
    meant = likeliest(name, allowed)
    if meant is not None:
        return f"did you mean {meant}?"
    return f"use {' or '.join(allowed)}"
