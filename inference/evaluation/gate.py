"""Bars that must not be fallen below: a TOML table a domain, a metric and its bar a line.

    [tickets]
    "queue.accuracy" = 0.975            # at least
    "accepted.accuracy" = 0.98
    "queue.ece" = { at_most = 0.03 }    # lower is better: said in words, so that a bar is never read the wrong way
    "queue.accuracy@Vendor" = 0.95      # of one source

A key without quotes (`queue.accuracy = 0.975`) means the same.
"""

import difflib
import math
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from inference.errors import GateError
from inference.evaluation.figures import DomainFigures, Evaluation, Scores, Selective

LOWER_IS_BETTER = {"aurc", "ece", "escalated", "errors", "share", "p50_ms", "unlabelled", "unknown"}

Gate = dict[str, dict[str, "Bar"]]


@dataclass(frozen=True, slots=True)
class Bar:
    """A metric may not be below `at_least` nor above `at_most`."""

    at_least: float | None = None
    at_most: float | None = None


def read_gate(file: Path) -> Gate:
    """The bars of each domain.

    Raises:
        GateError: the file cannot be read, or a bar is no number between its bounds.
    """
    try:
        document = tomllib.loads(file.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise GateError(f"the gate {file} cannot be read: {error}") from None
    except tomllib.TOMLDecodeError as error:
        raise GateError(f"the gate {file} is not valid TOML: {error}; correct it") from None
    gate: Gate = {}
    for domain, table in document.items():
        if not isinstance(table, dict):
            raise GateError(
                f"the gate {file} has {domain!r} outside a table; put bars under [alerts] or [tickets]"
            )
        gate[domain] = dict(_bars(table, ""))
    if not any(gate.values()):
        raise GateError(
            f'the gate {file} has no bar; write one such as "queue.accuracy" = 0.95 under [tickets]'
        )
    return gate


def fallen(evaluation: Evaluation, gate: Gate) -> list[str]:
    """One sentence for each metric that misses its bar.

    Raises:
        GateError: a domain or metric that was not evaluated, or a bar that can be read two ways.
    """
    sentences: list[str] = []
    for domain, bars in gate.items():
        if domain not in evaluation.domains:
            known = ", ".join(evaluation.domains)
            raise GateError(
                f"the gate has bars for {domain}, of which no row was evaluated; evaluated were {known}"
            )
        found = metrics_of(evaluation.domains[domain])
        for name, bar in bars.items():
            if name not in found:
                raise GateError(_unknown(domain, name, found))
            if _is_lower_better(name) and bar.at_least is not None:
                raise GateError(
                    f"{domain} {name} is better the lower it is; write {{ at_most = {bar.at_least} }}"
                )
            sentences += _judge(domain, name, found[name], bar)
    return sentences


def metrics_of(figures: DomainFigures) -> dict[str, float | None]:
    """Every metric a gate can name, with its value; None where these rows have none."""
    found: dict[str, float | None] = {
        "rows": figures.rows,
        "unlabelled": figures.unlabelled,
        "coverage": figures.accepted.coverage,
        "accepted.accuracy": figures.accepted.accuracy,
        "accepted.errors": figures.accepted.errors,
        "escalated": figures.escalated,
        "cost.share": figures.cost.share,
        "latency.p50_ms": figures.latency.p50_ms,
        "out_of_scope.auroc": figures.out_of_scope.auroc if figures.out_of_scope else None,
        "out_of_scope.auroc_novelty": figures.out_of_scope.auroc_ood
        if figures.out_of_scope
        else None,
    }
    found |= _scores("selective", figures.selective)
    for axis, one in figures.axes.items():
        found |= _scores(axis, one.overall) | {f"{axis}.unknown": one.unknown}
        if one.baseline:
            found[f"{axis}.over_baseline"] = one.overall.accuracy - one.baseline.scores.accuracy
        for source, scores in one.sources.items():
            found |= _scores(axis, scores, f"@{source}")
    return found


def _scores(prefix: str, scores: Selective | Scores, suffix: str = "") -> dict[str, float | None]:
    return {
        f"{prefix}.{name}{suffix}": value for name, value in msgspec.structs.asdict(scores).items()
    }


def _bars(table: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Bar]]:
    for key, value in table.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict) and value and value.keys() <= {"at_least", "at_most"}:
            yield name, Bar(**{bound: _number(name, each) for bound, each in value.items()})
        elif isinstance(value, dict):
            yield from _bars(value, f"{name}.")
        else:
            yield name, Bar(at_least=_number(name, value))


def _number(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise GateError(
            f"the bar of {name} is {value!r}; give a number, or {{ at_least = …, at_most = … }}"
        )
    return float(value)


def _is_lower_better(name: str) -> bool:
    return name.partition("@")[0].rpartition(".")[2] in LOWER_IS_BETTER


def _judge(domain: str, name: str, value: float | None, bar: Bar) -> Iterator[str]:
    if value is None:
        yield f"{domain} {name} has no value on these rows, so it cannot meet its bar"
        return
    if bar.at_least is not None and not value >= bar.at_least:
        yield f"{domain} {name} is {_show(value)}, below its bar of {bar.at_least:g}"
    if bar.at_most is not None and not value <= bar.at_most:
        yield f"{domain} {name} is {_show(value)}, above its bar of {bar.at_most:g}"


def _show(value: float) -> str:
    return f"{value:.6g}"


def _unknown(domain: str, name: str, found: Mapping[str, float | None]) -> str:
    overall = sorted(each for each in found if "@" not in each)
    near = difflib.get_close_matches(name, found, n=1)
    meant = f", did you mean {near[0]}" if near else ""
    return f"{domain} has no metric {name}{meant}; it has {', '.join(overall)}, and those of an axis with @SOURCE"
