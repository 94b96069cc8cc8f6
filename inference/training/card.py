"""The model card: what a model was made from, under which licences, what it is worth and where it fails."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from inference.artifact import EncoderSpec
from inference.training.dataset import Row
from inference.training.figures import AxisFigures, PromiseFigures

if TYPE_CHECKING:
    from inference.training.recipe import DomainFigures

ATTRIBUTIONS = {
    "SigmaHQ/sigma": "Detection rules of the Sigma project, https://github.com/SigmaHQ/sigma, by their authors "
    "(each rule names its own in its metadata).",
    "panther-labs/panther-analysis": "Rules and test events by Panther Labs, "
    "https://github.com/panther-labs/panther-analysis.",
    "splunk/security_content": "Detections by the Splunk Threat Research Team, "
    "https://github.com/splunk/security_content.",
    "prowler-cloud/prowler": "Checks by the Prowler project, https://github.com/prowler-cloud/prowler.",
    "sublime-security/sublime-rules": "Rules by Sublime Security, https://github.com/sublime-security/sublime-rules.",
    "FrankHassanabad/suricata-sample-data": "Suricata records by Frank Hassanabad, "
    "https://github.com/FrankHassanabad/suricata-sample-data.",
    "PolyAI banking77": "Banking77 by PolyAI (Casanueva et al., 2020, Efficient Intent Detection with Dual Sentence "
    "Encoders). Queue and priority were derived from its intents.",
    "HWU64 (xliuhw/NLU-Evaluation-Data)": "HWU64 (Liu et al., 2019, Benchmarking Natural Language Understanding "
    "Services), https://github.com/xliuhw/NLU-Evaluation-Data. Used as out-of-scope tickets.",
}

LICENCES = {
    "CC-BY-4.0": "CC-BY-4.0 (https://creativecommons.org/licenses/by/4.0/); cleaned, and split anew",
    "DRL-1.1": "Detection Rule License 1.1 (https://github.com/SigmaHQ/Detection-Rule-License)",
}

LIMITS = """\
- English only. A text in another language, of random characters or of nothing at all falls into many more pieces per
  word than the training rows did; beyond the 99th percentile of theirs it is never accepted, whatever the confidence
  says (a German report of a stolen card has 0.99 for `out_of_scope`). A foreign text of common short words can pass.
- Most alert rows are the texts and patterns of detection rules rather than raw events, and a model can tell a
  vendor by its style: read the figures by source. A vendor that is not among them should be expected to do worse,
  and the promise below does not cover it.
- The queue of an alert was mapped from its rule's log source. Sigma's documents name that log source, so for those
  rows part of the answer can be read off the input; the other sources' documents do not.
- Severity is an opinion of each source and does not transfer between vendors; treat it as a hint.
- Priority of a ticket is a published policy over its intent, not something anybody observed.
- The promise holds for events drawn like the calibration rows, counted as independent although a few rules stand
  behind several rows. When the events change it has to be calibrated again.
- Never read as features: ids, file names, the source, the tenant, timestamps, Suricata's own severity and category.
"""

HEADER = "| part | axis | rows | accuracy | macro-F1 | calibration error |\n|---|---|--:|--:|--:|--:|"
ACCEPTED_HEADER = (
    "| rows of | labelled | accepted | coverage | errors | accuracy among accepted |\n|---|--:|--:|--:|--:|--:|"
)


def write_card(
    name: str, spec: EncoderSpec, domains: Mapping[str, "DomainFigures"], rows: Sequence[Row], notes: Sequence[str]
) -> str:
    """The card as Markdown; `notes` are what only the trainer knows, a paragraph each."""
    return "\n".join([
        f"# {name}\n",
        "An int8 CTranslate2 encoder with one linear head an axis (logistic regression on the frozen encoder's",
        f"{spec.pooling}-pooled vectors of {spec.width} components, at most {spec.max_tokens} tokens), temperature",
        "scaling, and the rows its acceptance threshold is computed from.\n",
        *(f"{note}\n" for note in notes),
        "## Data and licences\n",
        *_sources(rows),
        "\nRows of one rule cluster are in one part of the data only. The validation rows are cut in two by cluster:",
        "*tuning* chose regularisation, temperature and the first threshold tried, *testing* made the promise.",
        "The test rows chose nothing. Accuracy on `tactic` counts a value that is one of a row's several tactics.\n",
        *(line for domain, figures in domains.items() for line in _domain(domain, figures)),
        "## Limits\n",
        LIMITS,
    ])  # fmt: skip


def _sources(rows: Sequence[Row]) -> list[str]:
    counted = Counter((row.source, row.license) for row in rows)
    return [
        f"- {ATTRIBUTIONS.get(source, source)} {count} rows, {LICENCES.get(licence, licence or 'no licence named')}."
        for (source, licence), count in sorted(counted.items())
    ]


def _domain(domain: str, figures: "DomainFigures") -> list[str]:
    promise = figures.promise
    rows = ", ".join(f"{part} {count}" for part, count in figures.rows.items())
    strengths = ", ".join(f"{axis} {strength:g}" for axis, strength in figures.regularisation.items())
    return [
        f"## {domain}\n",
        f"Rows: {rows}. Regularisation C: {strengths}.\n",
        HEADER,
        *(_axis_line(part, axis, one) for part, axes in figures.axes.items() for axis, one in axes.items()),
        "\nOn the test rows, by source (few labels of an axis occur in one source: no macro-F1):\n",
        HEADER.replace("part", "source").replace(" macro-F1 |", "").removesuffix("--:|"),
        *(_source_line(source, axis, one) for source, axes in figures.sources.items() for axis, one in axes.items()),
        f"\nAccepted when the queue decides, alpha {promise['alpha']}, delta {promise['delta']}:",
        f"risk below {promise['threshold']}. {promise['reason']}\n",
        ACCEPTED_HEADER,
        *(_accepted_line(part, one) for part, one in figures.accepted.items()),
        "",
    ]


def _axis_line(part: str, axis: str, one: AxisFigures) -> str:
    return f"| {part} | {axis} | {one.rows} | {one.accuracy:.4f} | {one.macro_f1:.4f} | {one.calibration_error:.4f} |"


def _source_line(source: str, axis: str, one: AxisFigures) -> str:
    return f"| {source} | {axis} | {one.rows} | {one.accuracy:.4f} | {one.calibration_error:.4f} |"


def _accepted_line(part: str, one: PromiseFigures) -> str:
    accuracy = f"{one.accuracy:.4f}" if one.accepted else "-"
    return f"| {part} | {one.rows} | {one.accepted} | {one.coverage:.4f} | {one.errors} | {accuracy} |"
