"""The classifier: what is accepted and why, and what a model that cannot serve says."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import msgspec
import pytest

from inference.artifact import DEFAULT_MODEL, Artifact, DomainSpec, load_artifact, write_manifest
from inference.calibration import risk
from inference.classifier import ALTERNATIVES, Classifier, Decision, Terms
from inference.errors import EngineClosed, ModelError
from inference.threads import Threads
from schemas.event import DOMAINS, Domain
from tests.tiny_model import LABELS, sample_texts

THREADS = Threads(1, 1)
IMPOSSIBLE = Terms(alpha=0.0001, delta=0.01)
"""A promise no calibration sample of this size can support."""


@pytest.fixture
async def classifier(tiny_model: Path) -> AsyncIterator[Classifier]:
    """The tiny model on the default terms."""
    opened = Classifier.open(tiny_model, threads=THREADS)
    yield opened
    await opened.close()


async def decide(model: Path, domain: Domain, terms: Terms) -> tuple[Classifier, list[Decision]]:
    """The sample events of a domain on other terms."""
    opened = Classifier.open(model, threads=THREADS, terms={domain: terms})
    decisions = await opened.classify(domain, sample_texts(domain))
    await opened.close()
    return opened, decisions


@pytest.mark.parametrize("domain", DOMAINS)
async def test_labels_are_the_contract_s(classifier: Classifier, domain: Domain) -> None:
    """Consumers read `value`, `confidence` and `alternatives` as best first; anything else misroutes their events."""
    for decision in await classifier.classify(domain, sample_texts(domain)):
        assert list(decision.labels) == list(LABELS[domain])
        for axis, label in decision.labels.items():
            ranked = [label.confidence, *(other.confidence for other in label.alternatives)]
            values = [label.value, *(other.value for other in label.alternatives)]
            assert ranked == sorted(ranked, reverse=True)
            assert all(0.0 <= confidence <= 1.0 for confidence in ranked)
            assert sum(ranked) <= 1.0 + 1e-5
            assert len(set(values)) == ALTERNATIVES + 1
            assert set(values) <= set(LABELS[domain][axis])


@pytest.mark.parametrize("domain", DOMAINS)
async def test_accepted_means_below_the_threshold(classifier: Classifier, domain: Domain) -> None:
    """The promise is about exactly these events: one accepted at or above the threshold breaks it."""
    threshold = classifier.promise(domain).threshold
    decisions = await classifier.classify(domain, sample_texts(domain))
    assert 0.6 <= sum(decision.accepted for decision in decisions) / len(decisions) <= 0.8
    for decision in decisions:
        assert decision.risk == risk([decision.labels["queue"].confidence])
        assert decision.accepted == (decision.risk < threshold)
        assert decision.escalation == ("" if decision.accepted else "risk")
        below = "is below" if decision.accepted else "is not below"
        assert decision.reason == (f"estimated risk {decision.risk:.4f} on queue {below} the threshold {threshold:.4f}")
        assert decision.inference_s > 0


@pytest.mark.parametrize("domain", DOMAINS)
async def test_each_axis_says_for_itself_when_it_abstains(tiny_model: Path, domain: Domain) -> None:
    """An axis that does not decide would otherwise pass off a guess as an answer."""
    classifier, decisions = await decide(tiny_model, domain, Terms())
    for axis in LABELS[domain]:
        promise = Classifier.open(tiny_model, threads=THREADS, terms={domain: Terms(deciding=(axis,))}).promise(domain)
        abstained = [decision.labels[axis].abstained for decision in decisions]
        assert abstained == [risk([d.labels[axis].confidence]) >= promise.threshold for d in decisions]
        assert any(abstained)
        assert not all(abstained)
    assert [d.labels["queue"].abstained for d in decisions] == [not d.accepted for d in decisions]
    assert classifier.calibration(domain).threshold == classifier.promise(domain).threshold


async def test_every_deciding_axis_counts(tiny_model: Path) -> None:
    """With two deciding axes, an event certain of one and unsure of the other must not pass."""
    _, decisions = await decide(tiny_model, "tickets", Terms(deciding=("queue", "intent")))
    for decision in decisions:
        axes = [decision.labels[axis].confidence for axis in ("queue", "intent")]
        assert decision.risk == risk(axes) >= risk(axes[:1])
        assert "on queue and intent is" in decision.reason


async def test_nothing_is_accepted_without_a_supported_promise(
    tiny_model: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A promise the data cannot support must mean that a person or the LLM decides, and the operator is told."""
    classifier, decisions = await decide(tiny_model, "alerts", IMPOSSIBLE)
    assert classifier.calibration("alerts").threshold == 0.0
    assert not any(decision.accepted for decision in decisions)
    assert {decision.escalation for decision in decisions} == {"uncalibrated"}
    assert all(label.abstained for decision in decisions for label in decision.labels.values())
    assert "nothing is accepted" in caplog.text
    assert classifier.promise("tickets").threshold > 0, "the other domain keeps its own terms"


async def test_the_calibration_on_the_wire_is_the_one_in_force(tiny_model: Path) -> None:
    """An auditor reproduces the decision from alpha, delta and the digest."""
    strict, _ = await decide(tiny_model, "alerts", Terms(alpha=0.05, delta=0.2))
    info = strict.calibration("alerts")
    assert (info.alpha, info.delta) == (0.05, 0.2)
    assert info.n == strict.promise("alerts").n > 0
    assert info.digest != strict.calibration("tickets").digest
    assert strict.model.digest == load_artifact(tiny_model).digest


async def test_no_texts_no_decisions(classifier: Classifier) -> None:
    """A batch with events of one domain only asks the other about nothing."""
    assert await classifier.classify("alerts", []) == []


async def test_any_string_is_decided(classifier: Classifier) -> None:
    """One unreadable text must not fail the batch it is in."""
    hostile = ["", "\x00\x01\ufeff", "\ud800 lone", "x" * 100_000, "\U0001f4a5" * 3_000, "\u202e\u0000"]
    assert len(await classifier.classify("tickets", hostile)) == len(hostile)


async def test_closed_while_waiting(classifier: Classifier) -> None:
    """Shutdown must end the wait of every caller with an error that is ours."""
    callers = [asyncio.create_task(classifier.classify("alerts", sample_texts("alerts"))) for _ in range(3)]
    await asyncio.sleep(0)
    await classifier.close()
    answers = await asyncio.wait_for(asyncio.gather(*callers, return_exceptions=True), 10)
    assert all(isinstance(answer, EngineClosed) for answer in answers)


def test_the_usual_queues_are_the_model_s_own(tiny_model: Path) -> None:
    """Drift is measured from these shares: they must add up to one and name every queue."""
    usual = Classifier.open(tiny_model, threads=THREADS).usual_queues()
    for domain in DOMAINS:
        assert tuple(usual[domain]) == LABELS[domain]["queue"]
        assert sum(usual[domain].values()) == pytest.approx(1.0, abs=1e-4)


@pytest.mark.parametrize(
    ("terms", "message"),
    [
        (Terms(deciding=("colour",)), r"domains\.alerts: deciding must name axes of queue, tactic, severity"),
        (Terms(deciding=("queue", "colour")), r"domains\.alerts: deciding must name axes"),
        (Terms(deciding=()), r"domains\.alerts: deciding must name axes .* it names none"),
        (Terms(alpha=0.0), r"domains\.alerts: alpha and delta must lie between 0 and 1"),
        (Terms(delta=1.5), r"domains\.alerts: alpha and delta must lie between 0 and 1"),
    ],
)
def test_terms_the_model_cannot_serve(tiny_model: Path, terms: Terms, message: str) -> None:
    """A mistyped axis must stop the start with the configuration key to change, not accept on something else."""
    with pytest.raises(ModelError, match=message) as raised:
        Classifier.open(tiny_model, threads=THREADS, terms={"alerts": terms})
    assert "\n" not in str(raised.value)


def _without_tickets(domains: dict[str, DomainSpec]) -> dict[str, DomainSpec]:
    return {"alerts": domains["alerts"]}


def _without_queue(domains: dict[str, DomainSpec]) -> dict[str, DomainSpec]:
    axes = {axis: spec for axis, spec in domains["alerts"].axes.items() if axis != "queue"}
    return domains | {"alerts": msgspec.structs.replace(domains["alerts"], axes=axes)}


def _another_queue(domains: dict[str, DomainSpec]) -> dict[str, DomainSpec]:
    axes = domains["alerts"].axes
    longer = msgspec.structs.replace(axes["queue"], labels=[*axes["queue"].labels, "another"])
    return domains | {"alerts": msgspec.structs.replace(domains["alerts"], axes=axes | {"queue": longer})}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_without_tickets, "has no heads for tickets; train it"),
        (_without_queue, "names no queue for alerts"),
        (_another_queue, "does not have the manifest's shape"),
    ],
)
def test_a_model_that_does_not_fit(
    tiny_model: Path,
    tmp_path: Path,
    change: Callable[[dict[str, DomainSpec]], dict[str, DomainSpec]],
    message: str,
) -> None:
    """A model trained for something else must be refused when it is loaded, not at the first event."""
    resealed = _reseal(tiny_model, tmp_path / "model", change)
    with pytest.raises(ModelError, match=message) as raised:
        Classifier.open(resealed.directory, threads=THREADS)
    assert "\n" not in str(raised.value)


def test_a_missing_model_is_one_sentence(tmp_path: Path) -> None:
    """A wrong [model] path is the commonest mistake there is."""
    with pytest.raises(ModelError, match=r"no model in .*point \[model\] path at"):
        Classifier.open(tmp_path, threads=THREADS)


def _reseal(model: Path, out: Path, change: Callable[[dict[str, DomainSpec]], dict[str, DomainSpec]]) -> Artifact:
    shutil.copytree(model, out)
    manifest = load_artifact(out).manifest
    return write_manifest(
        out,
        name=manifest.name,
        encoder=manifest.encoder,
        domains=change(manifest.domains),
        training=manifest.training,
    )


@pytest.mark.skipif(not (DEFAULT_MODEL / "manifest.json").is_file(), reason="the shipped model is not in this checkout")
@pytest.mark.parametrize("text", ["Meine Karte ist gestohlen worden", "", "\x00\x01", "asdkjh qwlekjh zxcmnb"])
async def test_what_the_model_cannot_read_is_never_accepted(text: str) -> None:
    """Another language, gibberish or nothing would be filed as out of scope with full confidence, and nobody told."""
    opened = Classifier.open(threads=THREADS)
    (decision,) = await opened.classify("tickets", [text])
    await opened.close()
    assert (decision.accepted, decision.escalation) == (False, "unfamiliar")
    assert all(label.abstained for label in decision.labels.values())
