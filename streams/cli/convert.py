"""`triage convert`: a Hugging Face encoder to an int8 one that training and serving can use."""

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import cast

import click
import msgspec
import orjson
from rich.console import Console
from rich.table import Table

from inference.model.encoder import Pooling
from inference.model.input_text import render
from inference.training.convert import EncoderFacts
from inference.training.convert.checked import convert_checked
from inference.training.convert.hub import find_source
from schemas.errors import InvalidEvent
from schemas.event import DOMAIN_OF_KIND, DOMAINS, KIND_OF_DOMAIN, Domain, Origin
from schemas.formats import read_event
from streams.cli.options import as_json, configured
from streams.config import Settings
from streams.local.demo import SAMPLES
from streams.ndjson import kind_of, read_lines

MAX_TEXTS = 2_000
"""Read of a file: a minute for a small encoder, and enough to tell one in a hundred from none."""


@click.command(
    epilog="Example: triage convert ./all-MiniLM-L6-v2 --out my-encoder --texts events.ndjson"
)
@click.argument("source")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="Where the encoder goes.",
)
@click.option(
    "--compute-type", type=click.Choice(["int8", "float32"]), default="int8", show_default=True
)
@click.option(
    "--texts",
    help="Text to check on, NDJSON events or plain lines, - for standard input; the first 2,000 are read "
    "(default: the shipped sample events).",
)
@click.option(
    "--floor", type=click.FloatRange(0, 1), default=0.98, show_default=True,
    help="Refuse an encoder whose tokens or vectors agree less with the source's.",
)  # fmt: skip
@click.option(
    "--pooling",
    type=click.Choice(["mean", "cls"]),
    default="mean",
    show_default=True,
    help="How vectors are compared.",
)
@as_json
@configured
def convert(
    settings: Settings,  # noqa: ARG001 - every command takes --config and says when the file is wrong
    source: str, out: Path, compute_type: str, texts: str | None, floor: float, pooling: str, json_: bool,
) -> None:  # fmt: skip
    """Convert SOURCE (a Hugging Face directory or hub id: BERT, DistilBERT, RoBERTa, CamemBERT or XLM-RoBERTa).

    Tokens are compared with the source's own tokenizer, vectors with float32; nothing is written where either falls
    below the floor. A model directory of triage may be SOURCE too: its heads' logits are compared as well.
    """
    directory, checked = find_source(source), read_texts(texts)
    facts = convert_checked(
        directory,
        out,
        [text for _, text in checked],
        domains=[domain for domain, _ in checked],
        compute_type=compute_type,
        floor=floor,
        pooling=cast("Pooling", pooling),
    )
    if json_:
        found = {"out": str(out), "floor": floor, **msgspec.to_builtins(facts)}
        click.echo(orjson.dumps(found, option=orjson.OPT_INDENT_2))
    else:
        show(out, facts)


def read_texts(file: str | None) -> list[tuple[Domain | None, str]]:
    """What the encoder is to be checked on: the view of each event, each other line as it is; and its domain, if known.

    Raises:
        StreamError: the file cannot be read.
    """
    if file is not None:
        return list(_texts(read_lines(file), None))
    return [
        one
        for domain in DOMAINS
        for one in _texts(read_lines(str(SAMPLES / f"{domain}.ndjson")), domain)
    ]


def _texts(lines: Iterable[bytes], domain: Domain | None) -> Iterator[tuple[Domain | None, str]]:
    for number, line in zip(range(MAX_TEXTS), lines, strict=False):
        known, text = _text(line, number, domain)
        if text:
            yield known, text


def _text(line: bytes, number: int, domain: Domain | None) -> tuple[Domain | None, str]:
    if not line.lstrip().startswith(b"{"):
        return domain, line.decode("utf-8", "replace").strip()
    with contextlib.suppress(InvalidEvent):  # a line that names no kind is read all the same
        domain = DOMAIN_OF_KIND[kind_of(line, domain)]
    kind = KIND_OF_DOMAIN[domain or "alerts"]
    try:
        return domain, render(
            read_event(line, origin=Origin(topic="texts", partition=0, offset=number), kind=kind)
        )
    except InvalidEvent:
        return domain, ""


def show(out: Path, facts: EncoderFacts) -> None:
    """What was found, for a person."""
    console = Console(soft_wrap=True)
    parity = facts.parity or {}
    agreement = parity["token_agreement"]
    tokens = (
        "the source's own"
        if agreement is None
        else f"{agreement:.2%} of tokens as the source's own"
    )
    console.print(
        f"{facts.model_type} encoder in {out}, {facts.compute_type}; {parity['texts']} texts",
        highlight=False,
    )
    console.print(f"tokenizer from {parity['tokenizer']}: {tokens}", highlight=False)
    for name, share in parity["passed_over"].items():
        console.print(
            f"{name} was passed over: only {share:.2%} of its tokens are the source's own",
            highlight=False,
        )
    table = Table("", "mean cosine", "min cosine", "largest difference", "same label")
    _row(table, f"{facts.compute_type} vectors", parity["vectors"])
    for name, head in parity["heads"].items():
        table.add_row(
            f"{name} logits",
            "",
            "",
            f"{head['max_logit_difference']:.4f}",
            f"{head['top1_agreement']:.2%}",
        )
    if parity["transformers"]:
        _row(table, "float32 vectors against transformers", parity["transformers"])
    console.print(f"against {parity['reference']}:", highlight=False)
    console.print(table)


def _row(table: Table, what: str, closeness: dict[str, float]) -> None:
    cosines = (f"{closeness[name]:.5f}" for name in ("mean_cosine", "min_cosine"))
    table.add_row(what, *cosines, f"{closeness['max_difference']:.2g}", "")
