"""Accept or escalate: what the promise means for one event."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from inference.acceptance.dispositions import DISPOSITION, is_harmless
from inference.acceptance.guarantee import Promise, promise_on, risk
from inference.acceptance.options import Terms
from inference.acceptance.samples import CalibrationSample, load_samples
from inference.arrays import Floats
from inference.errors import ConfigError
from inference.model.artifact import Artifact
from inference.model.model_input import ModelInput
from inference.model.out_of_distribution import (
    Unfamiliarity,
    is_out_of_distribution,
    unfamiliarity,
)
from schemas.event import Domain
from schemas.folding import fold
from schemas.triaged import Alternative, CalibrationInfo, Label

log = logging.getLogger(__name__)

ALTERNATIVES = 2


@dataclass(frozen=True, slots=True)
class Tightening:
    """A lower threshold for one calibration, because its promise is not kept on live traffic.

    `digest` names the calibration. `why` completes the sentence "it was lowered, because". With
    `harmless`, it is the threshold for what is called harmless.
    """

    digest: str
    threshold: float
    why: str
    harmless: bool = False


@dataclass(frozen=True, slots=True)
class Decision:
    """The small model's answer about one event.

    `risk` bounds the probability that any deciding axis is wrong. The event is accepted if the risk
    is below the threshold that was calibrated for its domain or tenant. If it is not accepted,
    `escalation` is the metric label of the reason (``risk``, ``unfamiliar``, ``uncalibrated`` or
    ``promise_broken``); otherwise it is empty. `ood_score`, in [0, 1], says how unlike the training
    rows the event is: an event above 0.5 is never accepted. `inference_s` is the time
    from the start of the event's own forward pass until it was decided.
    `truncated` says whether the event has more text than the encoder reads.
    `note` says why a label is not the one that the model gave to the whole event, and `person` why
    a person must decide although the event is accepted. Both are usually empty.
    """

    labels: dict[str, Label]
    risk: float
    ood_score: float
    accepted: bool
    reason: str
    escalation: str
    inference_s: float
    truncated: bool = False
    note: str = ""
    person: str = ""


class AcceptancePolicy:
    """Decides in one domain which events the small model may end.

    A tenant whose own calibration rows support the promise has a threshold of its own. Every other
    tenant has the threshold of all rows together. Each axis also has a threshold of its own, which
    says when its label abstains.

    Raises:
        ConfigError: the terms ask for axes or shares that cannot be.
        ModelError: the calibration rows of the model are damaged.
    """

    def __init__(self, artifact: Artifact, domain: Domain, terms: Terms) -> None:
        sample = load_samples(artifact)[domain]
        self.promise = promise_of(domain, sample, terms)
        self.deciding = tuple(terms.deciding)
        self.tenants = _tenant_promises(sample, terms)
        self._calibration = artifact.calibration.domains[domain]
        self._axis_thresholds = {
            axis: promise_on(sample, terms, [axis]).threshold for axis in sample.axes
        }
        self._tightened: dict[tuple[str, bool], Tightening] = {}
        if self.promise.reason:
            log.warning("%s: %s", domain, self.promise.reason)
        if self.promise.harmless_reason:
            log.warning("%s, called harmless: %s", domain, self.promise.harmless_reason)

    def check_labels(self, domain: Domain, labels: Mapping[str, Sequence[str]]) -> None:
        """Refuse a second promise that would be about nothing.

        Raises:
            ConfigError: none of the labels means that an alert is harmless.
        """
        if self.promise.beta is not None and not any(map(is_harmless, labels[DISPOSITION])):
            raise ConfigError(
                f"no label of {DISPOSITION} means benign or false positive "
                f"({', '.join(labels[DISPOSITION])}); name them so, or leave beta out",
                key=f"domains.{domain}",
            )

    @property
    def promises(self) -> list[Promise]:
        """The promise of all rows, and those of tenants."""
        return [self.promise, *self.tenants.values()]

    def promise_for(self, tenant: str) -> Promise:
        """The promise in force for a tenant, as it was calibrated."""
        return self.tenants.get(fold(tenant), self.promise)

    def threshold_of(self, promise: Promise, *, harmless: bool = False) -> float:
        """The threshold in force: that of the promise, or a lower one."""
        tightened = self._tightened.get((promise.digest, harmless))
        return tightened.threshold if tightened else promise.threshold_for(harmless=harmless)

    def calibration_of(self, promise: Promise) -> CalibrationInfo:
        """A promise as the output topic has it, with the thresholds that are in force."""
        second = promise.beta is not None
        return CalibrationInfo(
            alpha=promise.alpha,
            delta=promise.delta,
            n=promise.n,
            threshold=self.threshold_of(promise),
            digest=promise.digest,
            beta=promise.beta,
            harmless_threshold=self.threshold_of(promise, harmless=True) if second else None,
        )

    def tighten(self, tightening: Tightening) -> bool:
        """Lower the threshold of a promise at once, for as long as this policy is used.

        A threshold that is not lower than the one in force changes nothing.

        Returns:
            Whether this policy has the promise, and its threshold was lowered.
        """
        ours = [promise for promise in self.promises if promise.digest == tightening.digest]
        harmless = tightening.harmless
        if not ours or tightening.threshold >= self.threshold_of(ours[0], harmless=harmless):
            return False
        self._tightened[tightening.digest, harmless] = tightening
        return True

    def unfamiliarity(
        self, model_input: ModelInput, distance: float, scope_distance: float | None
    ) -> Unfamiliarity:
        """How unlike the training rows an event is, and what was found."""
        return unfamiliarity(
            self._calibration,
            model_input.excess_tokens,
            model_input.language,
            distance,
            scope_distance,
        )

    def decide(
        self,
        labels: dict[str, Label],
        tenant: str,
        unlike: Unfamiliarity,
        inference_s: float,
        *,
        truncated: bool = False,
    ) -> Decision:
        """Accept an event with these labels, or say why not."""
        event_risk = risk([1.0 - labels[axis].confidence for axis in self.deciding])
        if unlike.finding:
            event_risk = 1.0
        harmless = self._is_called_harmless(labels)
        promise = self.promise_for(tenant)
        reason, escalation = self._judge(event_risk, promise, unlike, harmless=harmless)
        return Decision(
            labels,
            event_risk,
            unlike.score,
            not escalation,
            reason,
            escalation,
            inference_s,
            truncated,
        )

    def label(
        self, axis: str, names: Sequence[str], probabilities: Floats, ood_score: float
    ) -> Label:
        """The label of one axis from the probabilities (labels,) of its `names`."""
        order = np.argsort(-probabilities, kind="stable")[: ALTERNATIVES + 1]
        (value, confidence), *others = ((names[i], float(probabilities[i])) for i in order)
        trusted = risk([1.0 - confidence]) < self._axis_threshold(axis, value)
        return Label(
            value=value,
            confidence=confidence,
            alternatives=[Alternative(value=other, confidence=share) for other, share in others],
            abstained=is_out_of_distribution(ood_score) or not trusted,
        )

    def _axis_threshold(self, axis: str, value: str) -> float:
        """The risk below which an axis with this value does not abstain.

        If the promise on the deciding axes is not kept, they abstain where it is not.
        """
        threshold = self._axis_thresholds[axis]
        if axis not in self.deciding:
            return threshold
        harmless = self.promise.beta is not None and axis == DISPOSITION and is_harmless(value)
        if harmless or (self.promise.digest, False) in self._tightened:
            return min(threshold, self.threshold_of(self.promise, harmless=harmless))
        return threshold

    def _is_called_harmless(self, labels: Mapping[str, Label]) -> bool:
        """Whether the second promise is about an event with these labels."""
        return self.promise.beta is not None and is_harmless(labels[DISPOSITION].value)

    def _judge(
        self, event_risk: float, promise: Promise, unlike: Unfamiliarity, *, harmless: bool
    ) -> tuple[str, str]:
        """Why the event is accepted or not, and the metric label if it is not."""
        axes = " and ".join(self.deciding)
        if unlike.finding:
            return unlike.finding, "unfamiliar"
        whose = " for what is called harmless" if harmless else ""
        calibrated = promise.threshold_for(harmless=harmless)
        if not calibrated:
            return f"the calibration sample supports no threshold for {axes}{whose}", "uncalibrated"
        threshold = self.threshold_of(promise, harmless=harmless)
        compared = f"estimated risk {event_risk:.4f} on {axes} is"
        if event_risk < threshold:
            return f"{compared} below the threshold {threshold:.4f}{whose}", ""
        if event_risk < calibrated:
            lowered = (
                f"{threshold:.4f}, to which the threshold {calibrated:.4f}{whose} was lowered: "
                f"{self._tightened[promise.digest, harmless].why}"
            )
            return f"{compared} not below {lowered}", "promise_broken"
        return f"{compared} not below the threshold {threshold:.4f}{whose}", "risk"


def promise_of(domain: str, sample: CalibrationSample, terms: Terms) -> Promise:
    """The promise that these calibration rows support for a domain.

    Raises:
        ConfigError: the terms ask for axes or shares that cannot be.
    """
    try:
        return promise_on(sample, terms)
    except ValueError as error:
        raise ConfigError(str(error), key=f"domains.{domain}") from None


def _tenant_promises(sample: CalibrationSample, terms: Terms) -> dict[str, Promise]:
    """The promises of the tenants that have one, by folded name.

    If the rows spell one tenant in two ways, the lower threshold holds. A tenant whose rows do not
    support the second promise, if there is one, has no promise of its own.
    """
    promises: dict[str, Promise] = {}
    for tenant in sample.tenants:
        promise = promise_on(sample.of(tenant), terms)
        earlier = promises.get(fold(tenant))
        if promise.beta is not None and not promise.harmless_threshold:
            continue
        if promise.threshold and (earlier is None or promise.threshold < earlier.threshold):
            promises[fold(tenant)] = promise
    return promises
