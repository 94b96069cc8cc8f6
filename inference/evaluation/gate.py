"""The gate: bars that the metrics of an evaluation must meet, as a TOML file.

It has one table for each domain, and one line for each metric:

    [tickets]
    "queue.accuracy" = 0.975            # at least
    "accepted.accuracy" = 0.98
    "queue.ece" = { at_most = 0.03 }    # a metric that is better when lower needs at_most
    "queue.accuracy@Vendor" = 0.95      # only the rows of one source

A key without quotes (`queue.accuracy = 0.975`) means the same.
"""

import difflib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from inference.errors import GateError
from inference.evaluation.figures import AxisFigures, DomainFigures, Evaluation, RankingScores
from inference.toml_file import parse_toml

LOWER_IS_BETTER = {"aurc", "ece", "escalated", "errors", "share", "p50_ms", "unlabelled", "unknown"}

Metrics = dict[str, float | None]
"""The value of each metric by name; None if the rows do not give it a value."""


@dataclass(frozen=True, slots=True)
class Bar:
    """A metric must be at least `at_least` and at most `at_most`."""

    at_least: float | None = None
    at_most: float | None = None


Gate = dict[str, dict[str, Bar]]
"""The bars of each domain, by the name of the metric."""


def read_gate(file: Path) -> Gate:
    """The bars of each domain.

    Raises:
        GateError: the file cannot be read, has no bar, or has a bar that is not a number.
    """
    gate: Gate = {}
    for domain, table in _read_toml(file).items():
        if not isinstance(table, dict):
            raise GateError(
                f"the gate {file} has {domain!r} outside a table; "
                "put bars under [alerts] or [tickets]"
            )
        gate[domain] = dict(_bars(table))
    if not any(gate.values()):
        raise GateError(
            f'the gate {file} has no bar; write one such as "queue.accuracy" = 0.95 under [tickets]'
        )
    return gate


def missed_bars(evaluation: Evaluation, gate: Gate) -> list[str]:
    """One sentence for each bar that a metric does not meet.

    Raises:
        GateError: a domain or a metric was not evaluated, or a metric that is better when lower
            has an `at_least`.
    """
    sentences: list[str] = []
    for domain, bars in gate.items():
        if domain not in evaluation.domains:
            evaluated = ", ".join(evaluation.domains)
            raise GateError(
                f"the gate has bars for {domain}, but only rows of {evaluated} were evaluated; "
                "remove these bars, or evaluate such rows too"
            )
        metrics = metrics_of(evaluation.domains[domain])
        for name, bar in bars.items():
            _check_bar(domain, name, bar, metrics)
            sentences += _misses(domain, name, metrics[name], bar)
    return sentences


def metrics_of(figures: DomainFigures) -> Metrics:
    """Every metric of a domain that a gate can name, with its value."""
    metrics: Metrics = {
        "rows": figures.rows,
        "unlabelled": figures.unlabelled,
        "coverage": figures.accepted.coverage,
        "accepted.accuracy": figures.accepted.accuracy,
        "accepted.errors": figures.accepted.errors,
        "escalated": figures.escalated,
        "cost.share": figures.cost.share,
        "latency.p50_ms": figures.latency.p50_ms,
        "out_of_scope.auroc": None,
        "out_of_scope.auroc_novelty": None,
    }
    if figures.out_of_scope:
        metrics["out_of_scope.auroc"] = figures.out_of_scope.auroc
        metrics["out_of_scope.auroc_novelty"] = figures.out_of_scope.auroc_ood
    metrics |= _metrics_of_scores("selective", figures.selective)
    for axis, of_axis in figures.axes.items():
        metrics |= _metrics_of_axis(axis, of_axis)
    return metrics


def _metrics_of_axis(axis: str, figures: AxisFigures) -> Metrics:
    metrics = _metrics_of_scores(axis, figures.overall) | {f"{axis}.unknown": figures.unknown}
    if figures.baseline:
        gain = figures.overall.accuracy - figures.baseline.scores.accuracy
        metrics[f"{axis}.over_baseline"] = gain
    for source, scores in figures.sources.items():
        metrics |= _metrics_of_scores(axis, scores, f"@{source}")
    return metrics


def _metrics_of_scores(prefix: str, scores: RankingScores, suffix: str = "") -> Metrics:
    return {
        f"{prefix}.{name}{suffix}": value for name, value in msgspec.structs.asdict(scores).items()
    }


def _read_toml(file: Path) -> dict[str, Any]:
    try:
        return parse_toml(file.read_bytes())
    except OSError as error:
        raise GateError(f"the gate {file} cannot be read: {error}; give a TOML file") from None
    except ValueError as error:
        raise GateError(f"the gate {file} cannot be used: {error}") from None


def _bars(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Bar]]:
    for key, value in table.items():
        name = f"{prefix}{key}"
        if not isinstance(value, dict):
            yield name, Bar(at_least=_number(name, value))
        elif value and value.keys() <= {"at_least", "at_most"}:
            yield name, Bar(**{bound: _number(name, number) for bound, number in value.items()})
        else:
            yield from _bars(value, f"{name}.")


def _number(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise GateError(
            f"the bar of {name} is {value!r}; give a number, or {{ at_least = …, at_most = … }}"
        )
    return float(value)


def _check_bar(domain: str, name: str, bar: Bar, metrics: Metrics) -> None:
    if name not in metrics:
        raise GateError(_unknown_metric(domain, name, metrics))
    if _is_lower_better(name) and bar.at_least is not None:
        raise GateError(
            f"{domain} {name} is better the lower it is; write {{ at_most = {bar.at_least} }}"
        )


def _is_lower_better(name: str) -> bool:
    metric, _, _ = name.partition("@")
    return metric.rpartition(".")[2] in LOWER_IS_BETTER


def _unknown_metric(domain: str, name: str, metrics: Metrics) -> str:
    overall = ", ".join(sorted(metric for metric in metrics if "@" not in metric))
    question = "".join(
        f", did you mean {similar}" for similar in difflib.get_close_matches(name, metrics, n=1)
    )
    return (
        f"{domain} has no metric {name}{question}; it has {overall}, "
        "and those of an axis with @SOURCE"
    )


def _misses(domain: str, name: str, value: float | None, bar: Bar) -> Iterator[str]:
    if value is None:
        yield f"{domain} {name} has no value on these rows, so it cannot meet its bar"
        return
    # A value that is not a number meets no bar.
    if bar.at_least is not None and not value >= bar.at_least:
        yield f"{domain} {name} is {value:.6g}, below its bar of {bar.at_least:g}"
    if bar.at_most is not None and not value <= bar.at_most:
        yield f"{domain} {name} is {value:.6g}, above its bar of {bar.at_most:g}"
