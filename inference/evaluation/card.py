"""The model card: what a model was made from, under which licences, what it is worth and where it fails."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from inference.evaluation.figures import DomainFigures, Scores
from inference.labelled import LabelledRow
from inference.model.artifact import Artifact

AUTHORED = (
    "Written by this project's authors with a large language model's help, from general knowledge of products and of "
    "how customers write, without sight of any data set; labels are the authors' opinion."
)
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
    "MITRE ATT&CK": "MITRE ATT&CK, https://attack.mitre.org, of which each technique's description, analytics and some "
    "procedures were read. (c) 2025 The MITRE Corporation. This work is reproduced and distributed with the permission "
    "of The MITRE Corporation.",
    "Atomic Red Team": "Tests of Atomic Red Team by Red Canary, https://github.com/redcanaryco/atomic-red-team.",
    "authored": AUTHORED,
    "authored, held out": AUTHORED + " Of products it was not taught, to calibrate with.",
}

LICENCES = {
    "ATT&CK-terms": "its terms of use (https://attack.mitre.org/resources/legal-and-branding/terms-of-use/)",
    "CC-BY-4.0": "CC-BY-4.0 (https://creativecommons.org/licenses/by/4.0/); cleaned, and split anew",
    "DRL-1.1": "Detection Rule License 1.1 (https://github.com/SigmaHQ/Detection-Rule-License)",
}

LIMITS = """\
- English only. A text of unusually many pieces for its words (another language, random characters) or far from the
  training in the embedding is never accepted, whatever the confidence says; the limits are the 98th percentiles of
  calibration rows. A foreign text of common short words can pass.
- Most alert rows are the texts and patterns of detection rules rather than raw events, and a model can tell a
  vendor by its style: read the figures by source. A vendor that is not among them should be expected to do worse.
  The promise was tested on products the model was not taught, but those are our own inventions: calibrate on rows
  of your own.
- The queue of an alert was mapped from its rule's log source. Sigma's documents name that log source, so for those
  rows part of the answer can be read off the input; the other sources' documents do not.
- Severity is an opinion of each source and does not transfer between vendors; treat it as a hint.
- Priority of a ticket is a published policy over its intent, not something anybody observed.
- The promise holds for events drawn like the calibration rows, counted as independent although a few rules stand
  behind several rows. When the events change it has to be calibrated again.
- Never read as features: ids, file names, the source, the tenant, timestamps, Suricata's own severity and category.
"""

HEADER = (
    "| axis | source | rows | accuracy | macro-F1 | calibration error |\n|---|---|--:|--:|--:|--:|"
)


def write_card(
    artifact: Artifact,
    rows: Sequence[LabelledRow],
    figures: Mapping[str, DomainFigures],
    notes: Sequence[str],
) -> str:
    """The card as Markdown.

    `figures` are those of rows that neither taught nor calibrated the model; `notes` are what only the trainer knows,
    a paragraph each.
    """
    spec, training = artifact.manifest.encoder, artifact.manifest.training
    return "\n".join([
        f"# {artifact.manifest.name}\n",
        f"An int8 CTranslate2 encoder ({training['recipe']}, from {training['encoder']}), {spec.pooling}-pooled",
        f"vectors of {spec.width} components, at most {spec.max_tokens} tokens. Beside it hashed word and character",
        "n-grams of the text and of the vendor's document, which are not cut. A linear head of each an axis; their",
        "logits are mixed and divided by a temperature. Centres of the training embeddings say what is unlike them.\n",
        *(f"{note}\n" for note in notes),
        "## Data and licences\n",
        *_sources(rows),
        "\nRows of one rule cluster are in one part of the data only. The validation rows are cut in two by cluster:",
        "*tuning* stopped the training and chose mixture, temperature and the first threshold tried, *testing* made",
        "the promise. Test rows neither taught nor calibrated. Accuracy on `tactic` counts a value that is one of a",
        "row's several.\n",
        *(line for domain, one in figures.items() for line in _domain(artifact, domain, one)),
        "## Limits\n",
        LIMITS,
    ])  # fmt: skip


def _sources(rows: Sequence[LabelledRow]) -> list[str]:
    counted = Counter((row.source, row.license) for row in rows)
    return [
        f"- {ATTRIBUTIONS.get(source, source)} {count} rows, {LICENCES.get(licence, licence or 'no licence named')}."
        for (source, licence), count in sorted(counted.items())
    ]


def _domain(artifact: Artifact, domain: str, figures: DomainFigures) -> Iterator[str]:
    promise, accepted = figures.promise, figures.accepted
    axes = artifact.calibration.domains[domain].axes
    yield f"## {domain}\n"
    yield (
        "Share of the n-grams and temperature: "
        + ", ".join(
            f"{axis} {one.ngram_share:g} and {one.temperature:.2f}" for axis, one in axes.items()
        )
        + f". {figures.rows} {figures.part} rows:\n"
    )
    yield HEADER
    for axis, one in figures.axes.items():
        yield _line(axis, "all", one.overall)
        yield from (_line(axis, source, scores) for source, scores in sorted(one.sources.items()))
    what = " or ".join(figures.deciding)
    yield f"\nPromise: of the events it accepts at most {promise.alpha:.0%} are wrong on {what},"
    yield f"with confidence {1 - promise.delta:.0%} over {promise.n} calibration rows: risk below {promise.threshold}."
    if promise.n_unseen:
        foreign = f"{promise.n_unseen} of those rows, at most {promise.unseen_alpha:.0%}"
        yield f"Of sources that taught the model nothing, {foreign}."
    yield f"On these rows it accepts {accepted.coverage:.1%}, {accepted.errors} of {accepted.rows} accepted are wrong."
    yield f"Coverage at 98 % accuracy {figures.selective.coverage_at_98:.1%}, area under the risk-coverage curve"
    yield f"{figures.selective.aurc:.4f}."
    if figures.out_of_scope and figures.out_of_scope.auroc is not None:
        yield f"Out-of-scope AUROC {figures.out_of_scope.auroc:.4f} ({figures.out_of_scope.rows} rows)."
    yield ""


def _line(axis: str, source: str, one: Scores) -> str:
    return (
        f"| {axis} | {source} | {one.n} | {one.accuracy:.4f} | {one.macro_f1:.4f} | {one.ece:.4f} |"
    )
