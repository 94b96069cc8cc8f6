"""The evaluation as one document: what `triage evaluate --json` prints and the report is drawn from.

Shares, accuracies, confidences and coverages lie in [0, 1]; `n` and `rows` count rows.
"""

from typing import Literal

import msgspec

Selection = Literal["test", "val", "all"]


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """Base of every table of figures."""


class Selective(Figures, frozen=True, kw_only=True):
    """How good an order the rows are in, from the surest to the least sure.

    `aurc` is the area under the risk-coverage curve, lower is better; `coverage_at_98` the largest share of rows,
    surest first, of which at least 98 % are right.
    """

    n: int
    accuracy: float
    aurc: float
    coverage_at_95: float
    coverage_at_97: float
    coverage_at_98: float


class Scores(Selective, frozen=True, kw_only=True):
    """One axis: `ece` is the expected calibration error of its confidence, lower is better."""

    macro_f1: float
    ece: float


class Pair(Figures, frozen=True, kw_only=True):
    """`rows` of the label `gold` were answered with `value`."""

    gold: str
    value: str
    rows: int


class ConfusionFigures(Figures, frozen=True, kw_only=True):
    """The most confused `pairs`, most frequent first; `counts[gold][value]` over `labels` where they are few."""

    pairs: list[Pair]
    labels: list[str]
    counts: list[list[int]]


class Bin(Figures, frozen=True, kw_only=True):
    """Rows whose confidence lies in one of equally wide bins, their mean confidence and how many were right."""

    low: float
    high: float
    rows: int
    confidence: float
    accuracy: float


class Point(Figures, frozen=True, kw_only=True):
    """On the risk-coverage curve: the error rate among the surest share of rows."""

    coverage: float
    risk: float


class BaselineFigures(Figures, frozen=True, kw_only=True):
    """One axis answered by TF-IDF with logistic regression, and by its most frequent label.

    `reads` is ``text`` or ``text+event``, whichever was better on rows that are not evaluated; `validation` has the
    accuracy of both there. `taught` counts the training rows.
    """

    reads: str
    validation: dict[str, float]
    taught: int
    scores: Scores
    majority_label: str
    majority_accuracy: float


class AxisFigures(Figures, frozen=True, kw_only=True):
    """One axis over all its labelled rows and source by source.

    `unknown` counts rows whose gold labels the model cannot answer at all; they are wrong whatever it says.
    """

    title: str
    decides: bool
    unknown: int
    overall: Scores
    sources: dict[str, Scores]
    confusion: ConfusionFigures
    reliability: list[Bin]
    baseline: BaselineFigures | None = None


class Accepted(Figures, frozen=True, kw_only=True):
    """The events the model decides alone: `coverage` is their share, `accuracy` theirs on all deciding axes.

    `accuracy` is null where nothing was accepted.
    """

    rows: int
    coverage: float
    errors: int
    accuracy: float | None


class PromiseTerms(Figures, frozen=True, kw_only=True):
    """With confidence 1 - `delta`, at most `alpha` of the accepted are wrong; `n` calibration rows support it.

    The `n_unseen` of them that are of sources the model was not taught with support at most `unseen_alpha` of what is
    accepted of such sources. `threshold` is the risk below which an event is accepted, `coverage` what it accepted of
    the calibration rows.
    """

    alpha: float
    delta: float
    n: int
    unseen_alpha: float
    n_unseen: int
    threshold: float
    coverage: float


class ScopeFigures(Figures, frozen=True, kw_only=True):
    """How well rows that belong to no queue stand out; 1.0 is perfect, 0.5 chance.

    `auroc` scores a row by the larger of its novelty and the confidence given to ``out_of_scope``,
    `auroc_ood` by its novelty alone.
    """

    rows: int
    auroc: float | None
    auroc_ood: float | None = msgspec.field(name="auroc_novelty")


class CostFigures(Figures, frozen=True, kw_only=True):
    """What the LLM costs for these rows: one call for each escalated event, against one for every event.

    The model's own computing and people's time are not counted.
    """

    llm_usd_per_event: float
    all_llm_usd: float
    escalated_usd: float
    share: float


class LatencyFigures(Figures, frozen=True, kw_only=True):
    """Wall time of the model on this machine: one event at a time, and what all rows took in batches."""

    measured: int
    p50_ms: float
    batched_events_per_s: float


class DomainFigures(Figures, frozen=True, kw_only=True):
    """One domain: `rows` were evaluated, of which `unlabelled` lack a label on a deciding axis.

    Those are left out of everything but the figures of the axes they have. `escalated` is the share of the others that
    the model does not decide alone, `escalations` the same by reason. `selective` is how good the order by risk is,
    for all deciding axes at once; `baseline` the same for TF-IDF, `curve` and `baseline_curve` what is drawn of them.
    """

    part: Selection
    rows: int
    unlabelled: int
    deciding: list[str]
    promise: PromiseTerms
    accepted: Accepted
    escalated: float
    escalations: dict[str, float]
    selective: Selective
    curve: list[Point]
    out_of_scope: ScopeFigures | None
    cost: CostFigures
    latency: LatencyFigures
    axes: dict[str, AxisFigures]
    notes: list[str]
    baseline: Selective | None = None
    baseline_curve: list[Point] = []


class ModelFacts(Figures, frozen=True, kw_only=True):
    """Which model was evaluated."""

    name: str
    digest: str
    compute_type: str


class Evaluation(Figures, frozen=True, kw_only=True):
    """Everything. `evaluated_at` is an RFC 3339 instant, `files` the names of the files the rows came from."""

    evaluated_at: str
    model: ModelFacts
    files: list[str]
    domains: dict[str, DomainFigures]
