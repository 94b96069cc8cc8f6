"""What the pages show of the model: its labels, and how its error grows with its coverage."""

import numpy as np

from inference.acceptance.samples import load_samples
from inference.serving import Serving
from schemas.event import Domain
from streams.console.figures import RiskCoverage, risk_coverage
from streams.console.services import LabelFacts


class ModelFacts:
    """What the pages show of the models that are served now."""

    def __init__(self, serving: Serving) -> None:
        self.use(serving)

    def use(self, serving: Serving) -> None:
        """Show other models from now on."""
        self.labels = label_facts(serving)
        self.curves = risk_curves(serving)


def label_facts(serving: Serving) -> LabelFacts:
    """The labels of every axis, with what the labels file says of them."""
    labels = {}
    for domain in serving.domains:
        descriptions = serving.descriptions(domain)
        labels[domain] = {
            axis: [(value, descriptions.get(axis, {}).get(value)) for value in values]
            for axis, values in serving.labels(domain).items()
        }
    return LabelFacts(
        labels=labels,
        queue_axis={domain: serving.queue_axis(domain) for domain in serving.domains},
        deciding={domain: serving.deciding(domain) for domain in serving.domains},
    )


def risk_curves(serving: Serving) -> dict[Domain, RiskCoverage]:
    """For each domain, the error over the coverage on the testing rows of its calibration."""
    curves = {}
    for domain in serving.domains:
        classifier = serving.of(domain)
        sample = load_samples(classifier.artifact)[domain]
        promise = classifier.promise(domain)
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
