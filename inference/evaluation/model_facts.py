"""What a model is: its name, its size, its labels, and what it promises under given terms."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from inference.acceptance.guarantee import Promise
from inference.acceptance.options import Terms
from inference.acceptance.policy import promise_of
from inference.acceptance.samples import load_samples
from inference.labels.file import NO_LABELS, LabelsFile
from inference.labels.served import served_descriptions
from inference.model.artifact import CARD, Artifact
from inference.model.heads import Heads
from schemas.event import Domain


def model_facts(
    artifact: Artifact, terms: Mapping[Domain, Terms], labels: LabelsFile = NO_LABELS
) -> dict[str, Any]:
    """The facts as plain objects: the document of `triage models --json`.

    The labels have the names and descriptions that `labels` gives them. The heads and the
    calibration rows are loaded too, so that damage to them is found.

    Raises:
        ConfigError: the terms ask for axes or shares that cannot be, or the model has a label under
            its old and its new name.
        ModelError: the model is damaged.
    """
    manifest = artifact.manifest
    names = {
        domain: labels.renames.axes(
            domain, {axis: axis_spec.labels for axis, axis_spec in spec.axes.items()}
        )
        for domain, spec in manifest.domains.items()
    }
    for domain in manifest.domains:
        Heads.load(artifact, domain)
    samples = load_samples(artifact)
    promises: dict[str, Promise] = {
        domain: promise_of(domain, samples[domain], terms_of_domain)
        for domain, terms_of_domain in terms.items()
        if domain in samples
    }
    return {
        "name": manifest.name,
        "digest": artifact.digest,
        "signed_by": artifact.signed_by,
        "path": str(artifact.directory),
        "size_bytes": artifact.size_bytes,
        "compute_type": manifest.encoder.compute_type,
        "domains": {
            domain: {
                "axes": {axis: list(of_axis) for axis, of_axis in axes.items()},
                "descriptions": served_descriptions(labels, domain, axes),
                "calibration": asdict(promises[domain]),
            }
            for domain, axes in names.items()
        },
        "licences": manifest.training.get("licences", []),
        "card": str(artifact.file(CARD)),
    }
