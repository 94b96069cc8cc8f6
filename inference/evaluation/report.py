"""The evaluation as one HTML file that can be sent by e-mail, archived, and read on a phone.

The page is put together from the Jinja templates in `templates`, which escape all values.
What cannot be seen in a value, such as a control of the reading direction, is shown as an escape.
"""

from dataclasses import dataclass
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from inference.evaluation.figures import CurvePoint, DomainFigures, Evaluation
from inference.evaluation.matrix_plot import CELL, matrix_plot
from inference.evaluation.plots import (
    WIDTH,
    RiskCoveragePlot,
    reliability_plot,
    risk_coverage_plot,
)
from schemas.visible_text import printable

SPLIT_NAMES = {"test": "test", "val": "validation", "all": "labelled"}
ESCALATION_REASONS = {
    "risk": "too unsure",
    "unfamiliar": "unlike the training rows, or another language",
    "uncalibrated": "no threshold could be promised",
}
ESCALATION_COLOURS = ("escalated-first", "escalated-second", "escalated-third")


@dataclass(frozen=True, slots=True)
class OutcomePart:
    """The share of the events with one outcome; `colour` is a CSS variable of the style sheet."""

    name: str
    share: float
    colour: str


def render(evaluation: Evaluation) -> str:
    """The whole page. Every value is escaped."""
    return _environment().get_template("report.html.j2").render(evaluation=evaluation)


def outcome_parts(figures: DomainFigures) -> list[OutcomePart]:
    """What becomes of the events with all deciding labels; empty outcomes are left out."""
    rows = figures.rows - figures.unlabelled
    accepted = figures.accepted
    parts = [
        OutcomePart("accepted, right", (accepted.rows - accepted.errors) / rows, "model"),
        OutcomePart("accepted, wrong", accepted.errors / rows, "wrong"),
    ]
    for number, (reason, share) in enumerate(figures.escalations.items()):
        colour = ESCALATION_COLOURS[number % len(ESCALATION_COLOURS)]
        name = f"escalated: {ESCALATION_REASONS.get(reason, reason)}"
        parts.append(OutcomePart(name, share, colour))
    return [part for part in parts if part.share]


def _risk_coverage_plot_of(figures: DomainFigures) -> RiskCoveragePlot:
    accepted = figures.accepted
    served = None
    if accepted.accuracy is not None:
        served = CurvePoint(coverage=accepted.coverage, risk=1 - accepted.accuracy)
    return risk_coverage_plot(
        figures.curve, figures.baseline_curve, alpha=figures.promise.alpha, served=served
    )


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("inference.evaluation"),
        autoescape=True,
        finalize=_printable,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "breakable": _breakable,
        "count": _count,
        "decimal": _decimal,
        "money": _money,
        "percent": _percent,
        "short_percent": _short_percent,
        "units": _units,
    }
    environment.globals |= {
        "cell_size": CELL - 2,
        "matrix_plot": matrix_plot,
        "outcome_parts": outcome_parts,
        "reliability_plot": reliability_plot,
        "risk_coverage_plot_of": _risk_coverage_plot_of,
        "split_names": SPLIT_NAMES,
        "width": WIDTH,
    }
    return environment


def _printable(value: object) -> object:
    """A value for the page; a text of ours is the only one that may be markup."""
    if isinstance(value, str) and not isinstance(value, Markup):
        return printable(value)
    return value


def _breakable(label: str) -> Markup:
    """Labels are long and have no spaces: allow a line break after each ``_`` and ``-``."""
    return escape(printable(label)).replace("_", Markup("_<wbr>")).replace("-", Markup("-<wbr>"))


def _percent(share: float, digits: int = 1) -> str:
    return f"{share:.{digits}%}"


def _short_percent(share: float) -> str:
    return f"{share * 100:.3g}%"


def _decimal(value: float, digits: int) -> str:
    return f"{value:.{digits}f}"


def _count(number: float) -> str:
    return f"{number:,.0f}"


def _money(usd: float) -> str:
    return f"{usd:,.2f}"


def _units(length: float) -> str:
    """A position or length of the plots, with at most one decimal."""
    return f"{length:.1f}".removesuffix(".0")
