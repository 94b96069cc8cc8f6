"""The classifier: what is accepted and why, and what a model that cannot serve says."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pytest
from safetensors.numpy import load_file, save_file

from inference.acceptance.guarantee import Terms, risk
from inference.acceptance.policy import ALTERNATIVES, Decision
from inference.classifier import Classifier
from inference.errors import EngineClosed, ModelError
from inference.model.artifact import (
    CALIBRATION_ROWS_FILE,
    DEFAULT_MODEL,
    MANIFEST,
    Artifact,
    DomainSpec,
    load_artifact,
    write_calibration,
    write_manifest,
)
from inference.model.threads import Threads
from schemas.event import DOMAINS, Domain, Event
from tests.tiny_model import LABELS, WIDTH, sample_events

THREADS = Threads(1, 1)
Deal = Callable[[npt.NDArray[np.int8]], npt.NDArray[np.int32]]
IMPOSSIBLE = Terms(alpha=0.0001, delta=0.01)
"""A promise no calibration sample of this size can support."""


@pytest.fixture
async def classifier(tiny_model: Path) -> AsyncIterator[Classifier]:
    """The tiny model on the default terms."""
    opened = Classifier.open(tiny_model, threads=THREADS)
    yield opened
    await opened.close()


def ticket(text: str, tenant: str = "default") -> Event:
    """One ticket."""
    return Event(id="t-1", kind="ticket", text=text, tenant=tenant)


async def decide(model: Path, domain: Domain, terms: Terms) -> tuple[Classifier, list[Decision]]:
    """The sample events of a domain on other terms."""
    opened = Classifier.open(model, threads=THREADS, terms={domain: terms})
    decisions = await opened.classify(domain, sample_events(domain))
    await opened.close()
    return opened, decisions


@pytest.mark.parametrize("domain", DOMAINS)
async def test_labels_are_the_contract_s(classifier: Classifier, domain: Domain) -> None:
    """Consumers read `value`, `confidence` and `alternatives` as best first; anything else misroutes their events."""
    for decision in await classifier.classify(domain, sample_events(domain)):
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
    decisions = await classifier.classify(domain, sample_events(domain))
    assert 0.6 <= sum(decision.accepted for decision in decisions) / len(decisions) <= 0.8
    for decision in decisions:
        assert decision.risk == risk([1.0 - decision.labels["queue"].confidence])
        assert decision.accepted == (decision.risk < threshold)
        assert decision.escalation == ("" if decision.accepted else "risk")
        below = "is below" if decision.accepted else "is not below"
        assert decision.reason == (
            f"estimated risk {decision.risk:.4f} on queue {below} the threshold {threshold:.4f}"
        )
        assert decision.inference_s > 0


@pytest.mark.parametrize("domain", DOMAINS)
async def test_each_axis_says_for_itself_when_it_abstains(tiny_model: Path, domain: Domain) -> None:
    """An axis that does not decide would otherwise pass off a guess as an answer."""
    classifier, decisions = await decide(tiny_model, domain, Terms())
    for axis in LABELS[domain]:
        promise = Classifier.open(
            tiny_model, threads=THREADS, terms={domain: Terms(deciding=(axis,))}
        ).promise(domain)
        abstained = [decision.labels[axis].abstained for decision in decisions]
        assert abstained == [
            risk([1.0 - d.labels[axis].confidence]) >= promise.threshold for d in decisions
        ]
        assert any(abstained)
        assert not all(abstained)
    assert [d.labels["queue"].abstained for d in decisions] == [not d.accepted for d in decisions]
    assert classifier.calibration(domain).threshold == classifier.promise(domain).threshold


async def test_every_deciding_axis_counts(tiny_model: Path) -> None:
    """With two deciding axes, an event certain of one and unsure of the other must not pass."""
    _, decisions = await decide(tiny_model, "tickets", Terms(deciding=("queue", "intent")))
    for decision in decisions:
        error_probabilities = [
            1.0 - decision.labels[axis].confidence for axis in ("queue", "intent")
        ]
        assert decision.risk == risk(error_probabilities) >= risk(error_probabilities[:1])
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


async def test_no_events_no_decisions(classifier: Classifier) -> None:
    """A batch with events of one domain only asks the other about nothing."""
    assert await classifier.classify("alerts", []) == []


async def test_any_string_is_decided(classifier: Classifier) -> None:
    """One unreadable text must not fail the batch it is in."""
    hostile = [
        "",
        "\x00\x01\ufeff",
        "\ud800 lone",
        "x" * 100_000,
        "\U0001f4a5" * 3_000,
        "\u202e\u0000",
    ]
    assert len(await classifier.classify("tickets", [ticket(text) for text in hostile])) == len(
        hostile
    )


@pytest.mark.parametrize("domain", DOMAINS)
async def test_an_embedding_is_the_event_s_own(classifier: Classifier, domain: Domain) -> None:
    """Precedents are found by cosine: a vector that depends on its batch, or is not of length one, ranks them wrong."""
    events = sample_events(domain)[:8]
    together = await classifier.embed(domain, events)
    assert together.dtype == np.float32
    assert together.shape == (8, WIDTH)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1.0, atol=1e-6)
    alone = await classifier.embed(domain, events[3:4])
    np.testing.assert_array_equal(together[3:4], alone)
    assert (await classifier.embed(domain, [])).shape == (0, WIDTH)


@pytest.mark.parametrize("domain", DOMAINS)
def test_the_label_sets_are_the_model_s(tiny_model: Path, domain: Domain) -> None:
    """The LLM may choose among exactly these, and a doubt about a deciding axis goes to a person."""
    classifier = Classifier.open(
        tiny_model, threads=THREADS, terms={"alerts": Terms(deciding=("severity",))}
    )
    assert classifier.labels(domain) == LABELS[domain]
    assert classifier.deciding(domain) == {"alerts": ("severity",), "tickets": ("queue",)}[domain]


async def test_closed_while_waiting(classifier: Classifier) -> None:
    """Shutdown must end the wait of every caller with an error that is ours."""
    callers = [
        asyncio.create_task(classifier.classify("alerts", sample_events("alerts")))
        for _ in range(3)
    ]
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
        (
            Terms(deciding=("colour",)),
            r"domains\.alerts: deciding must name axes of queue, tactic, severity",
        ),
        (Terms(deciding=("queue", "colour")), r"domains\.alerts: deciding must name axes"),
        (Terms(deciding=()), r"domains\.alerts: deciding must name axes .* it names none"),
        (
            Terms(alpha=0.0),
            r"domains\.alerts: alpha, unseen_alpha and delta must lie between 0 and 1",
        ),
        (
            Terms(delta=1.5),
            r"domains\.alerts: alpha, unseen_alpha and delta must lie between 0 and 1",
        ),
    ],
)
def test_terms_the_model_cannot_serve(tiny_model: Path, terms: Terms, message: str) -> None:
    """A mistyped axis must stop the start with the configuration key to change, not accept on something else."""
    with pytest.raises(ModelError, match=message) as raised:
        Classifier.open(tiny_model, threads=THREADS, terms={"alerts": terms})
    assert "\n" not in str(raised.value)


async def test_a_domain_the_model_was_not_trained_on(tiny_model: Path, tmp_path: Path) -> None:
    """A person trains on alerts alone: the model must serve those, and say of the others that it cannot."""
    model = reseal(tiny_model, tmp_path / "model", lambda domains: {"alerts": domains["alerts"]})
    classifier = Classifier.open(model.directory, threads=THREADS)
    assert classifier.domains == ("alerts",)
    assert await classifier.classify("alerts", sample_events("alerts")[:3])
    with pytest.raises(ModelError, match=r"has no heads for tickets; train it") as raised:
        await classifier.classify("tickets", [ticket("my card is gone")])
    assert "\n" not in str(raised.value)
    await classifier.close()


def test_labels_the_head_has_no_rows_for_are_refused(tiny_model: Path, tmp_path: Path) -> None:
    """A model whose manifest and heads disagree must be refused when it is loaded, not at the first event."""

    def lengthen(domains: dict[str, DomainSpec]) -> dict[str, DomainSpec]:
        axes = domains["alerts"].axes
        longer = msgspec.structs.replace(axes["queue"], labels=[*axes["queue"].labels, "another"])
        return domains | {
            "alerts": msgspec.structs.replace(domains["alerts"], axes=axes | {"queue": longer})
        }

    with pytest.raises(ModelError, match="does not have the manifest's shape") as raised:
        Classifier.open(reseal(tiny_model, tmp_path / "model", lengthen).directory, threads=THREADS)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "limits",
    [{"max_excess_tokens": 1e-3}, {"max_distance": 1e-6}],
    ids=["another language", "far from the training"],
)
async def test_an_unfamiliar_event_is_never_accepted(
    tiny_model: Path, tmp_path: Path, limits: dict[str, float]
) -> None:
    """However sure the softmax is of an event from nowhere, it must go to somebody who can read it."""
    model = recalibrate(tiny_model, tmp_path / "model", limits)
    _, decisions = await decide(model, "alerts", Terms())
    strange = [one for one in decisions if one.ood_score > 0.5]
    assert len(strange) > len(decisions) / 2
    assert {(one.accepted, one.escalation, one.risk) for one in strange} == {
        (False, "unfamiliar", 1.0)
    }
    assert all(label.abstained for one in strange for label in one.labels.values())
    assert all("unlike the training rows" in one.reason for one in strange)


async def test_novelty_is_a_number_a_consumer_can_read(classifier: Classifier) -> None:
    """An event of no words is infinitely foreign: infinity has no JSON, and 0.5 is where acceptance ends."""
    nothing, something = await classifier.classify(
        "tickets", [ticket(""), ticket("my card was stolen")]
    )
    assert (nothing.ood_score, nothing.accepted) == (1.0, False)
    assert 0.0 <= something.ood_score < 0.5


TENANTS = ("acme", "bmce", "few")


async def test_a_tenant_with_rows_enough_has_a_threshold_of_its_own(
    tiny_model: Path, tmp_path: Path
) -> None:
    """A tenant the model errs on would be handed the others' threshold, and one it knows well would wait for people."""
    model = recalibrate(tiny_model, tmp_path / "model", {"tenants": list(TENANTS)}, deal)
    classifier = Classifier.open(model, threads=THREADS)
    general = classifier.calibration("tickets")
    of = {
        tenant: classifier.calibration("tickets", tenant)
        for tenant in (*TENANTS, "unheard of", "default")
    }
    assert of["acme"].threshold > general.threshold, "nothing of this tenant was wrong"
    assert of["acme"].n < general.n
    assert of["acme"].digest != general.digest
    assert all(of[tenant] == general for tenant in ("bmce", "few", "unheard of", "default"))
    text = sample_events("tickets")
    decisions = {
        tenant: await classifier.classify(
            "tickets", [msgspec.structs.replace(one, tenant=tenant) for one in text]
        )
        for tenant in of
    }
    for tenant, decided in decisions.items():
        assert [one.accepted for one in decided] == [
            one.risk < of[tenant].threshold for one in decided
        ]
        assert [one.labels for one in decided] == [one.labels for one in decisions["default"]]
    assert any(
        a.accepted != b.accepted
        for a, b in zip(decisions["acme"], decisions["default"], strict=True)
    )
    await classifier.close()


def test_a_missing_model_is_one_sentence(tmp_path: Path) -> None:
    """A wrong [model] path is the commonest mistake there is."""
    with pytest.raises(ModelError, match=r"no model in .*point \[model\] path at"):
        Classifier.open(tmp_path, threads=THREADS)


def deal(correct: npt.NDArray[np.int8]) -> npt.NDArray[np.int32]:
    """Rows dealt to tenants: `acme` has half of the right ones, `bmce` all the wrong ones, `few` a handful."""
    right = correct[:, 0] == 1
    tenant = np.where(right, np.where(np.arange(len(right)) % 2, 0, -1), 1).astype(np.int32)
    tenant[np.flatnonzero(tenant == -1)[:20]] = 2
    return tenant


def recalibrate(
    model: Path, out: Path, changes: Mapping[str, Any], deal: Deal | None = None
) -> Path:
    """A copy of the model whose domains are calibrated with these changes, their rows dealt to tenants by `deal`."""
    shutil.copytree(model, out)
    tensors = load_file(out / CALIBRATION_ROWS_FILE)
    for name in [name.removesuffix(".tenant") for name in tensors if name.endswith(".tenant")]:
        if deal:
            tensors[f"{name}.tenant"] = deal(tensors[f"{name}.correct"])
    save_file(tensors, out / CALIBRATION_ROWS_FILE)
    found = load_artifact(model).calibration.domains
    write_calibration(
        out, {domain: msgspec.structs.replace(one, **changes) for domain, one in found.items()}, {}
    )
    return out


def reseal(
    model: Path, out: Path, change: Callable[[dict[str, DomainSpec]], dict[str, DomainSpec]]
) -> Artifact:
    """A copy of the model under another manifest, calibrated for what is left of its domains."""
    shutil.copytree(model, out)
    before = load_artifact(out)
    domains = change(before.manifest.domains)
    write_manifest(
        out, name="resealed", encoder=before.manifest.encoder, domains=domains, training={}
    )
    return write_calibration(
        out, {domain: before.calibration.domains[domain] for domain in domains}, {}
    )


@pytest.mark.skipif(
    not (DEFAULT_MODEL / MANIFEST).is_file(), reason="the shipped model is not in this checkout"
)
@pytest.mark.parametrize(
    "text", ["Meine Karte ist gestohlen worden", "", "\x00\x01", "asdkjh qwlekjh zxcmnb"]
)
async def test_what_the_model_cannot_read_is_never_accepted(text: str) -> None:
    """Another language, gibberish or nothing would be filed as out of scope with full confidence, and nobody told."""
    opened = Classifier.open(threads=THREADS)
    (decision,) = await opened.classify("tickets", [ticket(text)])
    await opened.close()
    assert (decision.accepted, decision.escalation) == (False, "unfamiliar")
    assert all(label.abstained for label in decision.labels.values())
