"""The reference pages name exactly the keys, metrics, commands and options of the code."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_origin

import click
import msgspec
import pytest
from prometheus_client.metrics import MetricWrapperBase

from inference.llm.options import PriceOptions
from schemas.event import Stated
from schemas.formats.level_words import LEVELS, STATED, STATES, our_word
from schemas.label_record import LabelRecord
from schemas.triaged import Case, Enrichment, Label, TriagedEvent
from streams import cli
from streams.cli import COMMANDS
from streams.config import Settings
from streams.metrics import Metrics

REFERENCE = Path(__file__).resolve().parents[2] / "docs" / "reference"
SECTION = re.compile(r"^#{2,3} (.+)\n((?:(?!#{1,3} ).*\n)*)", re.MULTILINE)
ROW = re.compile(r"^\| `(\w+)` \| (.*?) \| (.*?) ?\|$", re.MULTILINE)
METRIC_ROW = re.compile(r"^\| `(triage_\w+)` \| (\w+) \| (.*?) ?\| .*\|$", re.MULTILINE)
OPTION_ROW = re.compile(r"^\| `(--[a-z-]+)", re.MULTILINE)
ON_EVERY_COMMAND = {"--config", "--help"}
"""Options that the page of commands explains once, at its top."""

NEEDED, NOT_SET = "needed", "not set"
Keys = dict[str, dict[str, Any]]
"""The default of each key, by table."""


def sections(page: str) -> list[tuple[str, str]]:
    """The headings of a page, each with the text below it."""
    text = (REFERENCE / page).read_text("utf-8")
    return [(match[1], match[2]) for match in SECTION.finditer(text)]


def struct_in(type_: Any) -> type[msgspec.Struct] | None:
    """The table that a type is, or holds; None for the type of a single value."""
    if isinstance(type_, type) and issubclass(type_, msgspec.Struct):
        return type_
    if get_origin(type_) is None:
        return None
    structs = (struct_in(argument) for argument in get_args(type_))
    return next((struct for struct in structs if struct), None)


def default_of(field: msgspec.structs.FieldInfo) -> Any:
    """The default of a key as the page names it."""
    if field.default_factory is not msgspec.NODEFAULT:
        return msgspec.to_builtins(field.default_factory())
    if field.default is msgspec.NODEFAULT:
        return NEEDED
    if field.default is None:
        return NOT_SET
    return field.default


def keys_of(struct: type[msgspec.Struct], table: str = "") -> Keys:
    """The default of every key of a table and of the tables below it."""
    keys: Keys = {}
    for field in msgspec.structs.fields(struct):
        name = f"{table}.{field.encode_name}".lstrip(".")
        inner = struct_in(field.type)
        if inner is not None and get_origin(field.type) is dict:
            keys |= keys_of(inner, f"{name}.NAME")
        elif inner is not None and field.default is msgspec.NODEFAULT:
            keys |= keys_of(inner, name)
        if table and (inner is None or default_of(field) in (NOT_SET, [])):
            keys.setdefault(table, {})[field.encode_name] = default_of(field)
    return keys


def documented_default(cell: str) -> Any:
    """The value that the column of defaults shows: plain words, TOML, or keys with TOML."""
    if "`" not in cell:
        return cell
    pairs = re.findall(r"`(\w+)`: `([^`]+)`", cell)
    if pairs:
        return {name: tomllib.loads(f"key = {value}")["key"] for name, value in pairs}
    return tomllib.loads(f"key = {cell.strip('`')}")["key"]


def documented_keys() -> Keys:
    """The default of every key that the page of the configuration names."""
    keys: Keys = {}
    for heading, text in sections("configuration.md"):
        rows = {name: documented_default(default) for name, default, _ in ROW.findall(text)}
        for table in re.findall(r"\[+([\w.]+)\]+", heading):
            keys[table] = rows
    return keys


def test_every_key_is_documented_with_its_default() -> None:
    """A user would set a key that does not exist, or rely on another default."""
    assert documented_keys() == keys_of(Settings)


def test_the_keys_of_every_kind_of_table_are_found() -> None:
    """The test above would compare only some of the keys."""
    keys = keys_of(Settings)
    assert keys["topics"] == {"prefix": "triage", "partitions": 4, "replication": 1}
    assert keys["llm"]["tiers"] == []
    assert keys["llm.endpoints.NAME"]["base_url"] == NEEDED
    assert keys["llm.endpoints.NAME"]["prices"] == NOT_SET
    assert keys["egress.rules"]["policy"] == NEEDED
    assert keys["rules"]["until"] == NOT_SET
    assert keys["domains.tickets"]["unseen_alpha"] == 0.05


def test_the_keys_of_prices_are_documented() -> None:
    """A user would not know how to write the price of a model."""
    prices = next(
        meaning
        for _, text in sections("configuration.md")
        for name, _, meaning in ROW.findall(text)
        if name == "prices"
    )
    for key in PriceOptions.__struct_fields__:
        assert key in prices


def metrics_of_code() -> dict[str, tuple[str, set[str]]]:
    """The type and the labels of every metric of a worker."""
    metrics = {}
    for collector in Metrics().registry._collector_to_names:
        if isinstance(collector, MetricWrapperBase):
            (family,) = collector.describe()
            name = family.name
            if family.type == "counter":
                name += "_total"
            metrics[name] = (family.type, set(collector._labelnames))
    return metrics


def test_every_metric_is_documented_with_its_labels() -> None:
    """A user would build a dashboard on a metric or a label that does not exist."""
    text = (REFERENCE / "metrics.md").read_text("utf-8")
    documented = {
        name: (type_, set(re.findall(r"`(\w+)`", labels)))
        for name, type_, labels in METRIC_ROW.findall(text)
    }
    assert documented == metrics_of_code()


def commands() -> Iterator[tuple[str, click.Command]]:
    """Every command that does something, with its words after `triage`."""
    context = click.Context(cli.triage)
    for name in sorted(COMMANDS):
        command = cli.triage.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            if command.invoke_without_command:
                yield name, command
            yield from ((f"{name} {sub}", command.commands[sub]) for sub in command.commands)
        else:
            yield name, command


def documented_commands() -> dict[str, tuple[str, str]]:
    """The heading and the text about every command that the page of commands names."""
    return {
        words.strip(): (heading, text)
        for heading, text in sections("cli.md")
        for words in re.findall(r"triage ([a-z ]+)", heading)
    }


def long_options(command: click.Command) -> set[str]:
    """The long options of a command."""
    return {
        name
        for parameter in command.params
        if isinstance(parameter, click.Option)
        for name in (*parameter.opts, *parameter.secondary_opts)
        if name.startswith("--")
    }


def test_every_command_is_documented() -> None:
    """A user would not find a command, or try one that does not exist."""
    assert set(documented_commands()) == {words for words, _ in commands()}


@pytest.mark.parametrize(
    ("words", "command"), list(commands()), ids=[words for words, _ in commands()]
)
def test_every_option_is_documented(words: str, command: click.Command) -> None:
    """A user would not find an option or argument, or try one that does not exist."""
    heading, text = documented_commands()[words]
    options = long_options(command)
    assert set(OPTION_ROW.findall(text)) <= options
    for option in options - ON_EVERY_COMMAND:
        assert re.search(rf"`{option}[ `]", text), option
    for parameter in command.params:
        if isinstance(parameter, click.Argument):
            assert parameter.make_metavar(click.Context(command)) in heading


def test_every_command_has_the_options_that_are_explained_once() -> None:
    """The top of the page would name an option that some commands lack."""
    text = (REFERENCE / "cli.md").read_text("utf-8").partition("\n## ")[0]
    for option in ON_EVERY_COMMAND:
        assert re.search(rf"`{option}[ `]", text), option
    for words, command in commands():
        assert "--config" in long_options(command), words


def test_the_words_of_senders_are_read_as_documented() -> None:
    """A user would rely on a word that is not understood, or is read as another level."""
    text = (REFERENCE / "formats.md").read_text("utf-8")
    rows = re.findall(r"^\| (severity|priority|status) `(\w+)` \| (.*) \|$", text, re.MULTILINE)
    levels = [(axis, word) for axis in STATED for word in LEVELS.get(axis, STATES)]
    assert {(axis, ours) for axis, ours, _ in rows} == set(levels)
    for axis, ours, words in rows:
        for word in re.split(r"[,;] ", words):
            assert our_word(axis, word) == ours, word


@pytest.mark.parametrize("type_", [TriagedEvent, Case, Stated, Label, Enrichment, LabelRecord])
def test_every_field_of_a_record_is_documented(type_: type[msgspec.Struct]) -> None:
    """A consumer would not know what a field means."""
    text = (REFERENCE / "topics-and-records.md").read_text("utf-8")
    fields = {
        name
        for cell in re.findall(r"^\| (`.*?`) \|", text, re.MULTILINE)
        for name in re.findall(r"`(\w+)`", cell)
    }
    assert set(type_.__struct_fields__) <= fields
