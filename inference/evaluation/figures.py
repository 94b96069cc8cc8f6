"""The evaluation as one document: `triage evaluate --json` prints it, and the report shows it.

The names of the fields are the keys of the JSON document. Shares, accuracies, confidences and
coverages are in [0, 1]. `n` and `rows` count rows.
"""

from typing import Literal

import msgspec

EvaluatedSplit = Literal["test", "val", "all"]
"""Which rows of a domain are evaluated: the test rows, the validation rows, or all of them."""


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """Base of every table of figures."""


class RankingScores(Figures, frozen=True, kw_only=True):
    """How well the rows are ordered from the surest to the least sure, and how many are right.

    `aurc` is the area under the risk-coverage curve; lower is better. `coverage_at_98` is the
    largest share of the rows, the surest first, of which at least 98 % are right.
    """

    n: int
    accuracy: float
    aurc: float
    coverage_at_95: float
    coverage_at_97: float
    coverage_at_98: float


class AxisScores(RankingScores, frozen=True, kw_only=True):
    """One axis. `ece` is the expected calibration error of its confidence; lower is better."""

    macro_f1: float
    ece: float


class ConfusedPair(Figures, frozen=True, kw_only=True):
    """The number of rows whose label is `gold` and whose answer was `value`."""

    gold: str
    value: str
    rows: int


class ConfusionFigures(Figures, frozen=True, kw_only=True):
    """The most frequent mistakes, as `pairs`, and the whole matrix if the axis has few labels.

    `counts[i][j]` counts the rows of the gold label `labels[i]` with the answer `labels[j]`. Both
    lists are empty if there are too many labels.
    """

    pairs: list[ConfusedPair]
    labels: list[str]
    counts: list[list[int]]


class ReliabilityBin(Figures, frozen=True, kw_only=True):
    """The rows whose confidence is between `low` and `high`.

    `confidence` is their mean confidence, and `accuracy` the share of them that is right.
    """

    low: float
    high: float
    rows: int
    confidence: float
    accuracy: float


class CurvePoint(Figures, frozen=True, kw_only=True):
    """A point of the risk-coverage curve: the error rate among the surest share of the rows."""

    coverage: float
    risk: float


class BaselineFigures(Figures, frozen=True, kw_only=True):
    """One axis answered by TF-IDF with logistic regression, and by its most frequent label.

    `reads` names what TF-IDF read: ``text`` or ``text+event``, whichever was better on rows that
    are not evaluated. `validation` has the accuracy of both on those rows. `taught` counts the
    training rows.
    """

    reads: str
    validation: dict[str, float]
    taught: int
    scores: AxisScores
    majority_label: str
    majority_accuracy: float


class AxisFigures(Figures, frozen=True, kw_only=True):
    """One axis, over all rows that are labelled on it and for each source.

    `decides` says whether it is a deciding axis. `unknown` counts the rows whose gold label the
    model does not have: they are always wrong.
    """

    title: str
    decides: bool
    unknown: int
    overall: AxisScores
    sources: dict[str, AxisScores]
    confusion: ConfusionFigures
    reliability: list[ReliabilityBin]
    baseline: BaselineFigures | None = None


class AcceptedFigures(Figures, frozen=True, kw_only=True):
    """The events that the model accepts.

    `coverage` is their share. `accuracy` is the share of them that is right on all deciding axes;
    it is null if no event is accepted.
    """

    rows: int
    coverage: float
    errors: int
    accuracy: float | None


class PromiseFigures(Figures, frozen=True, kw_only=True):
    """The promise in force: at most `alpha` of the accepted events are wrong.

    Its confidence is 1 - `delta`, and `n` calibration rows support it. `n_unseen` of them are of
    sources that the model was not trained on. They support that at most `unseen_alpha` of the
    accepted events of such sources are wrong. An event is accepted if its risk is below
    `threshold`. `coverage` is the share of the calibration rows that is accepted. If nothing is,
    `reason` says why. With `beta`, an event that is called harmless is accepted if its risk is
    below `harmless_threshold`, and at most `beta` of these are malicious.
    """

    alpha: float
    delta: float
    n: int
    unseen_alpha: float
    n_unseen: int
    threshold: float
    coverage: float
    reason: str = ""
    beta: float | None = None
    harmless_threshold: float = 0.0


class OutOfScopeFigures(Figures, frozen=True, kw_only=True):
    """How well the `rows` that belong to no queue stand out; 1.0 is perfect, 0.5 is chance.

    `auroc` scores a row by its out-of-distribution score or by its confidence in ``out_of_scope``,
    whichever is larger. `auroc_ood` scores it by its out-of-distribution score alone.
    """

    rows: int
    auroc: float | None
    auroc_ood: float | None = msgspec.field(name="auroc_novelty")


class CostFigures(Figures, frozen=True, kw_only=True):
    """What the LLM costs for these rows, in US dollars.

    `escalated_usd` is for one call for each escalated event, `all_llm_usd` for one call for every
    event. The computing time of the model and the working time of people are not counted.
    """

    llm_usd_per_event: float
    all_llm_usd: float
    escalated_usd: float
    share: float


class LatencyFigures(Figures, frozen=True, kw_only=True):
    """The wall time of the model on this machine.

    `p50_ms` is the median over `measured` events that were put to the model one at a time.
    `batched_events_per_s` is the speed over all rows in batches.
    """

    measured: int
    p50_ms: float
    batched_events_per_s: float


class DomainFigures(Figures, frozen=True, kw_only=True):
    """The figures of one domain, over `rows` rows.

    `unlabelled` of the rows lack a label on a deciding axis. They count only in the figures of the
    axes that they have. All shares are of the other rows. `escalated` is the share that the model
    does not accept, and `escalations` is the same for each reason.

    `selective` tells how well the risk orders the rows, for all deciding axes together. `baseline`
    is the same for TF-IDF. `curve` and `baseline_curve` are the risk-coverage curves of both.
    """

    part: EvaluatedSplit
    rows: int
    unlabelled: int
    deciding: list[str]
    promise: PromiseFigures
    accepted: AcceptedFigures
    escalated: float
    escalations: dict[str, float]
    selective: RankingScores
    curve: list[CurvePoint]
    out_of_scope: OutOfScopeFigures | None
    cost: CostFigures
    latency: LatencyFigures
    axes: dict[str, AxisFigures]
    notes: list[str]
    baseline: RankingScores | None = None
    baseline_curve: list[CurvePoint] = []


class ModelFacts(Figures, frozen=True, kw_only=True):
    """Which model was evaluated."""

    name: str
    digest: str
    compute_type: str


class Evaluation(Figures, frozen=True, kw_only=True):
    """The whole document.

    `evaluated_at` is an RFC 3339 instant. `files` has the names of the files with the rows.
    """

    evaluated_at: str
    model: ModelFacts
    files: list[str]
    domains: dict[str, DomainFigures]
