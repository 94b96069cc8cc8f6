"""Accept or escalate: what the promise means for one event."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from inference.acceptance.guarantee import Promise, Terms, risk
from inference.acceptance.samples import CalibrationSample, load_samples
from inference.arrays import Floats
from inference.errors import ModelError
from inference.model.artifact import Artifact
from inference.model.out_of_distribution import is_out_of_distribution, out_of_distribution_score
from schemas.event import Domain
from schemas.triaged import Alternative, Label

log = logging.getLogger(__name__)

ALTERNATIVES = 2


@dataclass(frozen=True, slots=True)
class Decision:
    """The small model's answer for one event.

    `risk` bounds the probability that any deciding axis is wrong; the event is accepted when it is below the
    threshold calibrated for its domain or tenant. `escalation` is the metric label of why it was not (``risk``,
    ``unfamiliar`` or ``uncalibrated``), empty when it was. `novelty`, in [0, 1], says how unlike the training rows
    it is: from 0.5 on it is never accepted. `inference_s` is the wall time of the call that carried it.
    """

    labels: dict[str, Label]
    risk: float
    ood_score: float
    accepted: bool
    reason: str
    escalation: str
    inference_s: float


class AcceptancePolicy:
    """Acceptance in one domain: the promise over the deciding axes, and one an axis for saying it abstains.

    A tenant whose own calibration rows support the promise is judged by them, any other by all rows together.
    """

    def __init__(self, artifact: Artifact, domain: Domain, terms: Terms) -> None:
        sample = load_samples(artifact)[domain]
        self.promise = promise_of(domain, sample, terms)
        self.deciding = tuple(terms.deciding)
        self._calibration = artifact.calibration.domains[domain]
        self.tenants = _tenant_promises(sample, terms)
        self._axes = {axis: terms.promise(sample, [axis]).threshold for axis in sample.axes}
        if self.promise.reason:
            log.warning("%s: %s", domain, self.promise.reason)

    def promise_for(self, tenant: str) -> Promise:
        return self.tenants.get(tenant, self.promise)

    def ood_score(self, excess_tokens: float, distance: float) -> float:
        return out_of_distribution_score(self._calibration, excess_tokens, distance)

    def decide(
        self, labels: dict[str, Label], tenant: str, ood_score: float, inference_s: float
    ) -> Decision:
        what, threshold = " and ".join(self.deciding), self.promise_for(tenant).threshold
        error_probability = risk([1.0 - labels[axis].confidence for axis in self.deciding])
        if is_out_of_distribution(ood_score):
            reason, escalation = (
                "the text reads unlike the training rows, perhaps another language",
                "unfamiliar",
            )
            error_probability = 1.0
        elif not threshold:
            reason, escalation = (
                f"the calibration sample supports no threshold for {what}",
                "uncalibrated",
            )
        elif error_probability < threshold:
            reason, escalation = (
                f"estimated risk {error_probability:.4f} on {what} is below the threshold {threshold:.4f}",
                "",
            )
        else:
            reason = f"estimated risk {error_probability:.4f} on {what} is not below the threshold {threshold:.4f}"
            escalation = "risk"
        return Decision(
            labels, error_probability, ood_score, not escalation, reason, escalation, inference_s
        )

    def label(
        self, axis: str, names: Sequence[str], probabilities: Floats, ood_score: float
    ) -> Label:
        order = np.argsort(-probabilities, kind="stable")[: ALTERNATIVES + 1]
        best, *others = ((names[i], float(probabilities[i])) for i in order)
        return Label(
            value=best[0],
            confidence=best[1],
            alternatives=[
                Alternative(value=value, confidence=confidence) for value, confidence in others
            ],
            abstained=is_out_of_distribution(ood_score)
            or not risk([1.0 - best[1]]) < self._axes[axis],
        )


def promise_of(domain: str, sample: CalibrationSample, terms: Terms) -> Promise:
    """The promise these calibration rows support for a domain.

    Raises:
        ModelError: the terms cannot be asked of the model.
    """
    try:
        return terms.promise(sample)
    except ValueError as error:
        raise ModelError(f"domains.{domain}: {error}") from None


def _tenant_promises(sample: CalibrationSample, terms: Terms) -> dict[str, Promise]:
    promises = {tenant: terms.promise(sample.of(tenant)) for tenant in sample.tenants}
    return {tenant: promise for tenant, promise in promises.items() if promise.threshold}
