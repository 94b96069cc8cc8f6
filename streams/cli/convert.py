"""`triage convert`: makes a Hugging Face encoder usable for training and serving."""

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import cast

import click
import msgspec

from inference.model.encoder import Pooling
from inference.model.input_text import render
from inference.record_file import read_lines
from inference.training.convert import EncoderFacts
from inference.training.convert.checked import convert_checked
from inference.training.convert.hub import find_source
from schemas.errors import InvalidEvent
from schemas.event import DOMAIN_OF_KIND, DOMAINS, KIND_OF_DOMAIN, Domain, Origin
from schemas.formats import read_event
from streams.cli.options import as_json, configured
from streams.cli.output import echo_json
from streams.cli.tables import Console, Table
from streams.config import Settings
from streams.files import kind_of
from streams.local.demo import SAMPLES

MAX_TEXTS = 2_000
"""Lines read of a file.

A small encoder needs about a minute for them. They are enough to notice it if 1 % of the tokens
differ.
"""


@click.command(
    epilog="Example: triage convert ./all-MiniLM-L6-v2 --out my-encoder --texts events.ndjson"
)
@click.argument("source")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="The directory for the converted encoder.",
)
@click.option(
    "--compute-type",
    type=click.Choice(["int8", "float32"]),
    default="int8",
    show_default=True,
    help="How the weights are stored.",
)
@click.option(
    "--texts",
    help="A file of texts to check the encoder on: NDJSON events or plain lines, - for standard "
    "input. The first 2,000 lines are read (default: the shipped sample events).",
)
@click.option(
    "--floor",
    type=click.FloatRange(0, 1),
    default=0.98,
    show_default=True,
    help="The lowest accepted agreement with the source: the share of equal tokens, and the mean "
    "cosine of the vectors.",
)
@click.option(
    "--pooling",
    type=click.Choice(["mean", "cls"]),
    default="mean",
    show_default=True,
    help="How token vectors become one vector for the comparison.",
)
@as_json
@configured
def convert(
    settings: Settings,  # noqa: ARG001 - every command takes --config and reports a wrong file
    source: str,
    out: Path,
    compute_type: str,
    texts: str | None,
    floor: float,
    pooling: str,
    json_: bool,
) -> None:
    """Convert SOURCE, an encoder of Hugging Face, for training and serving.

    SOURCE is a directory or a hub id of a BERT, DistilBERT, RoBERTa, CamemBERT or XLM-RoBERTa. Its
    tokens are compared with those of the source's own tokenizer, and its vectors with float32. If
    either is below the floor, nothing is written. SOURCE may also be a model directory of triage.
    The logits of its heads are then compared too.
    """
    directory, checked_texts = find_source(source), read_texts(texts)
    facts = convert_checked(
        directory,
        out,
        [text for _, text in checked_texts],
        domains=[domain for domain, _ in checked_texts],
        compute_type=compute_type,
        floor=floor,
        pooling=cast("Pooling", pooling),
    )
    if json_:
        document = {"out": str(out), "floor": floor, **msgspec.to_builtins(facts)}
        echo_json(document, indent=True)
    else:
        show(out, facts)


def read_texts(file: str | None) -> list[tuple[Domain | None, str]]:
    """Read the texts to check the encoder on, each with its domain, or None if it is not known.

    The text of an event is its input text. Any other line is a text as it is. Without a file, the
    texts are those of the shipped sample events.

    Raises:
        StreamError: the file cannot be read.
    """
    if file is not None:
        return list(_texts(read_lines(file), None))
    return [
        text
        for domain in DOMAINS
        for text in _texts(read_lines(str(SAMPLES / f"{domain}.ndjson")), domain)
    ]


def _texts(lines: Iterable[bytes], domain: Domain | None) -> Iterator[tuple[Domain | None, str]]:
    for number, line in zip(range(MAX_TEXTS), lines, strict=False):
        line_domain, text = _text(line, number, domain)
        if text:
            yield line_domain, text


def _text(line: bytes, number: int, domain: Domain | None) -> tuple[Domain | None, str]:
    """The domain and the text of one line. The text is empty if the line is an invalid event."""
    if not line.lstrip().startswith(b"{"):
        return domain, line.decode("utf-8", "replace").strip()
    with contextlib.suppress(InvalidEvent):  # an event without a kind is read as an alert
        domain = DOMAIN_OF_KIND[kind_of(line, domain)]
    kind = KIND_OF_DOMAIN[domain or "alerts"]
    origin = Origin(topic="texts", partition=0, offset=number)
    try:
        return domain, render(read_event(line, origin=origin, kind=kind))
    except InvalidEvent:
        return domain, ""


def show(out: Path, facts: EncoderFacts) -> None:
    """Print the result for a person."""
    # Names and paths may have brackets and colons, which are no markup.
    console = Console(soft_wrap=True, markup=False, emoji=False, highlight=False)
    for line in _lines(out, facts):
        console.print(line)
    console.print(_table(facts))


def _lines(out: Path, facts: EncoderFacts) -> Iterator[str]:
    parity = facts.parity or {}
    yield (
        f"{facts.model_type} encoder in {out}, {facts.compute_type}, checked on "
        f"{parity['texts']} texts"
    )
    yield f"tokenizer from {parity['tokenizer']}: {_describe(parity['token_agreement'])}"
    for name, share in parity["passed_over"].items():
        yield f"{name} was passed over: only {share:.2%} of its tokens equal the source's own"
    yield f"compared with {parity['reference']}:"


def _describe(token_agreement: float | None) -> str:
    if token_agreement is None:
        return "the source's own"
    return f"{token_agreement:.2%} of its tokens equal the source's own"


def _table(facts: EncoderFacts) -> Table:
    parity = facts.parity or {}
    table = Table("", "mean cosine", "min cosine", "largest difference", "same label")
    _add_vectors(table, f"{facts.compute_type} vectors", parity["vectors"])
    for name, head in parity["heads"].items():
        difference, agreement = head["max_logit_difference"], head["top1_agreement"]
        table.add_row(f"{name} logits", "", "", f"{difference:.4f}", f"{agreement:.2%}")
    if parity["transformers"]:
        _add_vectors(table, "float32 vectors against transformers", parity["transformers"])
    return table


def _add_vectors(table: Table, name: str, closeness: dict[str, float]) -> None:
    cosines = (f"{closeness[key]:.5f}" for key in ("mean_cosine", "min_cosine"))
    table.add_row(name, *cosines, f"{closeness['max_difference']:.2g}", "")
