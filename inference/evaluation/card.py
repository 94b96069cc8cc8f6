"""The model card: what a model was made from, under which licences, and how good it is where."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from inference.acceptance.options import Terms
from inference.classifier import Classifier
from inference.evaluation.figures import AxisScores, DomainFigures, PromiseFigures
from inference.evaluation.run import evaluate_test_rows
from inference.labelled import LabelledRow
from inference.labels.file import MAX_DESCRIPTION_CHARS, NO_LABELS, LabelsFile
from inference.labels.served import served_descriptions
from inference.model.artifact import Artifact
from inference.model.manifest import AxisCalibration
from inference.progress import Progress
from schemas.event import Domain
from schemas.visible_text import printable

AUTHORED = (
    "Written by this project's authors with a large language model's help, from general knowledge "
    "of products and of how customers write, without sight of any data set; labels are the "
    "authors' opinion."
)
ATTRIBUTIONS = {
    "SigmaHQ/sigma": "Detection rules of the Sigma project, https://github.com/SigmaHQ/sigma, by "
    "their authors (each rule names its own in its metadata).",
    "panther-labs/panther-analysis": "Rules and test events by Panther Labs, "
    "https://github.com/panther-labs/panther-analysis.",
    "splunk/security_content": "Detections by the Splunk Threat Research Team, "
    "https://github.com/splunk/security_content.",
    "prowler-cloud/prowler": "Checks by the Prowler project, "
    "https://github.com/prowler-cloud/prowler.",
    "sublime-security/sublime-rules": "Rules by Sublime Security, "
    "https://github.com/sublime-security/sublime-rules.",
    "FrankHassanabad/suricata-sample-data": "Suricata records by Frank Hassanabad, "
    "https://github.com/FrankHassanabad/suricata-sample-data.",
    "PolyAI banking77": "Banking77 by PolyAI (Casanueva et al., 2020, Efficient Intent Detection "
    "with Dual Sentence Encoders). Queue and priority were derived from its intents.",
    "HWU64 (xliuhw/NLU-Evaluation-Data)": "HWU64 (Liu et al., 2019, Benchmarking Natural Language "
    "Understanding Services), https://github.com/xliuhw/NLU-Evaluation-Data. "
    "Used as out-of-scope tickets.",
    "MITRE ATT&CK": "MITRE ATT&CK, https://attack.mitre.org, of which each technique's "
    "description, analytics and some procedures were read. (c) 2025 The MITRE Corporation. "
    "This work is reproduced and distributed with the permission of The MITRE Corporation.",
    "Atomic Red Team": "Tests of Atomic Red Team by Red Canary, "
    "https://github.com/redcanaryco/atomic-red-team.",
    "authored": AUTHORED,
    "authored, held out": f"{AUTHORED} Of products that the model was not trained on, "
    "for the calibration.",
}
"""What the card says about each source of rows."""

LICENCES = {
    "ATT&CK-terms": "its terms of use "
    "(https://attack.mitre.org/resources/legal-and-branding/terms-of-use/)",
    "CC-BY-4.0": "CC-BY-4.0 (https://creativecommons.org/licenses/by/4.0/); "
    "cleaned, and split anew",
    "DRL-1.1": "Detection Rule License 1.1 (https://github.com/SigmaHQ/Detection-Rule-License)",
}
"""What the card says about each licence that needs more than its name."""

MAX_NOTE_CHARS = 1_000

ENCODER = """\
An int8 CTranslate2 encoder ({recipe}, from {encoder}) reads at most {max_tokens} tokens of an
event. Its vectors are {pooling}-pooled and have {width} components. Beside it, hashed word and
character n-grams of the text and of the vendor's document are read without this limit. Each axis
has a linear head on the vectors and one on the n-grams. Their logits are mixed and divided by a
temperature. The distance to the centres of the training embeddings shows how unlike the training
rows an event is.
"""

SPLITS = """
All rows of one rule cluster are in the same split. The validation rows are divided by cluster, too:
the *tuning* split stopped the training and chose the mixture and the temperature. The promise was
tested on the *testing* split. The test rows were used neither for training nor for calibration. On
`tactic`, an answer is right if it is one of the row's tactics.
"""

CROSS_FITTED = """
The calibration is cross-fitted: each row was answered by heads, n-grams and a temperature that were
fitted to the rows of the other folds, and near-duplicates are in one fold. The promise was tested
on all of these rows, and the model learned from all of them. That it holds for this model rests on
one assumption: it is wrong no more often than models that have learned from fewer of the rows.
"""

LIMITS = """\
- English only. An event is never accepted, whatever its confidence, if its text reads like another
  language or like random characters, or if its embedding is far from the training rows. A ticket
  is not accepted into a queue either if it is far from the rows of all queues. Text in two
  languages can pass.
- Most alert rows are the texts and patterns of detection rules and not raw events, and a model can
  recognise a vendor by its style: read the figures by source. Expect worse figures for a vendor
  that is not among them. The promise was tested on products that the model was not trained on, but
  those are our own inventions: calibrate on rows of your own.
- The queue of an alert was mapped from the log source of its rule. Sigma's documents name that log
  source, so for those rows part of the answer can be copied from the input; the documents of the
  other sources do not name it.
- Severity is an opinion of each source and does not transfer between vendors; treat it as a hint.
- Priority of a ticket is a published policy over its intent. Nobody observed it.
- The promise holds for events that are drawn like the calibration rows. They are counted as
  independent, although some rules have several rows. If the events change, calibrate again.
- Never read as features: ids, links, addresses, codes, the source, the tenant, timestamps, and what
  a sender states of severity, priority and status.
"""

MAX_NAME_CHARS = 200
_MARKUP = re.compile(r"[\\`*\[\]<>|!]")

TABLE_HEAD = """\
| axis | source | rows | accuracy | macro-F1 | calibration error |
|---|---|--:|--:|--:|--:|"""


async def make_card(
    artifact: Artifact,
    rows: Sequence[LabelledRow],
    terms: Mapping[Domain, Terms],
    notes: Sequence[str],
    progress: Progress,
    labels: LabelsFile = NO_LABELS,
) -> str:
    """Evaluate a model on its test rows, and write its card as Markdown.

    `rows` are all rows the model was made from, the test rows among them. `notes` are paragraphs
    about what only the person who trained the model knows. `labels` describes labels of the model.

    Raises:
        ModelError: the model is damaged.
    """
    classifier = Classifier.open(artifact.directory, terms=_terms_of_model(artifact, terms))
    try:
        figures = await evaluate_test_rows(classifier, rows, progress)
    finally:
        await classifier.close()
    return write_card(artifact, rows, figures, notes, labels)


def write_card(
    artifact: Artifact,
    rows: Sequence[LabelledRow],
    figures: Mapping[str, DomainFigures],
    notes: Sequence[str],
    labels: LabelsFile = NO_LABELS,
) -> str:
    """The card as Markdown, with the `figures` of the test rows; see `make_card` for the rest."""
    encoder, training = artifact.manifest.encoder, artifact.manifest.training
    about_encoder = ENCODER.format(
        recipe=training["recipe"],
        encoder=training["encoder"],
        max_tokens=encoder.max_tokens,
        pooling=encoder.pooling,
        width=encoder.width,
    )
    lines = [
        f"# {artifact.manifest.name}\n",
        about_encoder,
        *(f"{note}\n" for note in notes),
        "## Data and licences\n",
        *_sources(rows),
        _calibration(artifact),
        *_labels(artifact, labels),
        *_rows_notes(training.get("notes", ())),
    ]
    for domain, of_domain in figures.items():
        lines += _domain(domain, of_domain, artifact.calibration.domains[domain].axes)
    return "\n".join([*lines, "## Limits\n", LIMITS])


def _calibration(artifact: Artifact) -> str:
    """Which rows the model was calibrated on."""
    if artifact.calibration.made_from.get("method") == "cross-fitted":
        return CROSS_FITTED
    return SPLITS


def _terms_of_model(artifact: Artifact, terms: Mapping[Domain, Terms]) -> dict[Domain, Terms]:
    """The terms of the model's domains, with deciding axes that the model has.

    A domain without any of the configured deciding axes is evaluated on its first axis.
    """
    terms_of_model = {}
    for domain, of_domain in terms.items():
        if domain in artifact.manifest.domains:
            axes = tuple(artifact.manifest.domains[domain].axes)
            deciding = tuple(axis for axis in of_domain.deciding if axis in axes)
            terms_of_model[domain] = msgspec.structs.replace(
                of_domain, deciding=deciding or axes[:1]
            )
    return terms_of_model


def _sources(rows: Sequence[LabelledRow]) -> Iterator[str]:
    counts = Counter((row.source, row.license) for row in rows)
    for (source, licence), count in sorted(counts.items()):
        about_licence = LICENCES.get(licence) or _cell(licence) or "no licence named"
        about_source = ATTRIBUTIONS.get(source) or _cell(source)
        yield f"- {about_source} {count} rows, {about_licence}."


def _rows_notes(notes: Sequence[str]) -> Iterator[str]:
    """What was done with rows that were few, or labels that had none."""
    if notes:
        yield "## What was done with the rows\n"
    for note in notes:
        yield f"- {_cell(note, MAX_NOTE_CHARS)}"
    if notes:
        yield ""


def _labels(artifact: Artifact, file: LabelsFile) -> Iterator[str]:
    """What the labels mean, for each axis with descriptions."""
    for domain, spec in artifact.manifest.domains.items():
        names = {axis: axis_spec.labels for axis, axis_spec in spec.axes.items()}
        for axis, described in served_descriptions(file, domain, names).items():
            yield f"## Labels of {domain}, {_cell(axis)}\n"
            for label, description in described.items():
                yield f"- {_cell(label)}: {_cell(description, MAX_DESCRIPTION_CHARS)}"
            yield ""


def _domain(
    domain: str, figures: DomainFigures, calibrations: Mapping[str, AxisCalibration]
) -> Iterator[str]:
    shares = ", ".join(
        f"{axis} {calibration.ngram_share:g} and {calibration.temperature:.2f}"
        for axis, calibration in calibrations.items()
    )
    yield f"## {domain}\n"
    yield f"Share of the n-grams and temperature: {shares}. {figures.rows} {figures.part} rows:\n"
    yield TABLE_HEAD
    for axis, of_axis in figures.axes.items():
        yield _table_row(axis, "all", of_axis.overall)
        for source, scores in sorted(of_axis.sources.items()):
            yield _table_row(axis, source, scores)
    yield ""
    yield from _promise(figures.promise, figures.deciding)
    yield from _results(figures)
    yield ""


def _table_row(axis: str, source: str, scores: AxisScores) -> str:
    shares = f"{scores.accuracy:.4f} | {scores.macro_f1:.4f} | {scores.ece:.4f}"
    return f"| {_cell(axis)} | {_cell(source)} | {scores.n} | {shares} |"


def _cell(text: str, max_chars: int = MAX_NAME_CHARS) -> str:
    """A text of the rows, on one line and without what Markdown would take for markup."""
    return _MARKUP.sub(r"\\\g<0>", printable(text, max_chars))


def _promise(promise: PromiseFigures, deciding: Sequence[str]) -> Iterator[str]:
    yield (
        f"Promise: at most {promise.alpha:.0%} of the accepted events are wrong on "
        f"{' or '.join(deciding)},"
    )
    yield (
        f"with confidence {1 - promise.delta:.0%} over {promise.n} calibration rows. "
        f"An event is accepted if its risk is below {promise.threshold}."
    )
    if promise.beta is not None:
        yield (
            f"What is called harmless is accepted if its risk is below "
            f"{promise.harmless_threshold}; at most {promise.beta:.1%} of it is malicious."
        )
    if promise.n_unseen:
        yield (
            f"{promise.n_unseen} of those rows are of sources that the model was not trained on; "
            f"of the accepted events of such sources at most {promise.unseen_alpha:.0%} are wrong."
        )


def _results(figures: DomainFigures) -> Iterator[str]:
    accepted, out_of_scope = figures.accepted, figures.out_of_scope
    yield (
        f"On these rows it accepts {accepted.coverage:.1%}; "
        f"{accepted.errors} of the {accepted.rows} accepted rows are wrong."
    )
    yield f"The coverage at 98 % accuracy is {figures.selective.coverage_at_98:.1%}, and the area"
    yield f"under the risk-coverage curve is {figures.selective.aurc:.4f}."
    if out_of_scope and out_of_scope.auroc is not None:
        yield f"Out-of-scope AUROC {out_of_scope.auroc:.4f} ({out_of_scope.rows} rows)."
