"""What the pages show of the model: its labels, and how its error grows with its coverage."""

import numpy as np

from inference.acceptance.samples import load_samples
from inference.classifier import Classifier
from schemas.event import Domain
from streams.console.figures import RiskCoverage, risk_coverage
from streams.console.services import LabelFacts


def label_facts(classifier: Classifier) -> LabelFacts:
    """The labels of every axis, with what the labels file says of them."""
    labels = {}
    for domain in classifier.domains:
        descriptions = classifier.descriptions(domain)
        labels[domain] = {
            axis: [(value, descriptions.get(axis, {}).get(value)) for value in values]
            for axis, values in classifier.labels(domain).items()
        }
    return LabelFacts(
        labels=labels,
        queue_axis={domain: classifier.queue_axis(domain) for domain in classifier.domains},
        deciding={domain: classifier.deciding(domain) for domain in classifier.domains},
    )


def risk_curves(classifier: Classifier) -> dict[Domain, RiskCoverage]:
    """For each domain, the error over the coverage on the testing rows of its calibration."""
    samples = load_samples(classifier.artifact)
    curves = {}
    for domain in classifier.domains:
        sample, promise = samples[domain], classifier.promise(domain)
        columns = [sample.axes.index(axis) for axis in classifier.deciding(domain)]
        rows = sample.testing
        known = np.asarray((rows.correct[:, columns] >= 0).all(axis=1))
        curves[domain] = risk_coverage(
            rows.error_probability[known][:, columns].tolist(),
            (rows.correct[known][:, columns] == 0).any(axis=1).tolist(),
            promise.threshold,
            promise.alpha,
        )
    return curves
