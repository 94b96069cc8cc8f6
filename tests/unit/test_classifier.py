"""The classifier: what it accepts and why, and which models it refuses."""

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

from inference.acceptance.guarantee import risk
from inference.acceptance.options import Terms
from inference.acceptance.policy import ALTERNATIVES, Decision
from inference.classifier import Classifier
from inference.errors import ConfigError, EngineClosed, ModelError
from inference.model.artifact import (
    CALIBRATION_ROWS_FILE,
    DEFAULT_MODEL,
    MANIFEST,
    Artifact,
    load_artifact,
    write_calibration,
    write_manifest,
)
from inference.model.manifest import DomainSpec
from inference.model.threads import Threads
from schemas.event import DOMAINS, Domain, Event
from tests.tiny_model import LABELS, WIDTH, sample_events

THREADS = Threads(1, 1)
AssignTenants = Callable[[npt.NDArray[np.int8]], npt.NDArray[np.int32]]
IMPOSSIBLE = Terms(alpha=0.0001, delta=0.01)
"""A promise that needs more calibration rows than the tiny model has."""


@pytest.fixture
async def classifier(tiny_model: Path) -> AsyncIterator[Classifier]:
    """The tiny model with the default terms."""
    classifier = Classifier.open(tiny_model, threads=THREADS)
    yield classifier
    await classifier.close()


def ticket(text: str, tenant: str = "default") -> Event:
    """One ticket."""
    return Event(id="t-1", kind="ticket", text=text, tenant=tenant)


async def decide(model: Path, domain: Domain, terms: Terms) -> tuple[Classifier, list[Decision]]:
    """Classify the sample events of a domain with these terms."""
    classifier = Classifier.open(model, threads=THREADS, terms={domain: terms})
    decisions = await classifier.classify(domain, sample_events(domain))
    await classifier.close()
    return classifier, decisions


def familiar(decisions: list[Decision]) -> list[Decision]:
    """The decisions about events that the model can read; some samples are in other languages."""
    return [decision for decision in decisions if decision.escalation != "unfamiliar"]


@pytest.mark.parametrize("domain", DOMAINS)
async def test_labels_are_in_the_form_of_the_contract(
    classifier: Classifier, domain: Domain
) -> None:
    """Consumers expect the best label first; any other order would misroute their events."""
    for decision in await classifier.classify(domain, sample_events(domain)):
        assert list(decision.labels) == list(LABELS[domain])
        for axis, label in decision.labels.items():
            ranked = [label.confidence, *(other.confidence for other in label.alternatives)]
            values = [label.value, *(other.value for other in label.alternatives)]
            if decision.note and axis == "severity":
                continue  # raised, because of a part
            assert ranked == sorted(ranked, reverse=True)
            assert all(0.0 <= confidence <= 1.0 for confidence in ranked)
            assert sum(ranked) <= 1.0 + 1e-5
            assert len(set(values)) == ALTERNATIVES + 1
            assert set(values) <= set(LABELS[domain][axis])


@pytest.mark.parametrize("domain", DOMAINS)
async def test_events_below_the_threshold_are_accepted(
    classifier: Classifier, domain: Domain
) -> None:
    """The promise holds for exactly these events; one more accepted event could break it."""
    threshold = classifier.promise(domain).threshold
    decisions = familiar(await classifier.classify(domain, sample_events(domain)))
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
async def test_each_axis_abstains_by_its_own_threshold(tiny_model: Path, domain: Domain) -> None:
    """Otherwise an axis that does not decide would show a guess as an answer."""
    classifier, decisions = await decide(tiny_model, domain, Terms())
    decisions = familiar(decisions)
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
    """Otherwise an event with one uncertain deciding axis would be accepted."""
    _, decisions = await decide(tiny_model, "tickets", Terms(deciding=("queue", "intent")))
    for decision in familiar(decisions):
        error_probabilities = [
            1.0 - decision.labels[axis].confidence for axis in ("queue", "intent")
        ]
        assert decision.risk == risk(error_probabilities) >= risk(error_probabilities[:1])
        assert "on queue and intent is" in decision.reason


async def test_nothing_is_accepted_without_a_supported_promise(
    tiny_model: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Otherwise events would be accepted without a promise, and the operator would not know."""
    classifier, decisions = await decide(tiny_model, "alerts", IMPOSSIBLE)
    assert classifier.calibration("alerts").threshold == 0.0
    assert not any(decision.accepted for decision in decisions)
    assert {decision.escalation for decision in decisions} == {"uncalibrated"}
    assert all(label.abstained for decision in decisions for label in decision.labels.values())
    assert "nothing is accepted" in caplog.text
    assert classifier.promise("tickets").threshold > 0, "the other domain has its own terms"


async def test_the_published_calibration_is_the_one_in_use(tiny_model: Path) -> None:
    """An auditor reproduces the decision from alpha, delta and the digest."""
    strict, _ = await decide(tiny_model, "alerts", Terms(alpha=0.05, delta=0.2))
    info = strict.calibration("alerts")
    assert (info.alpha, info.delta) == (0.05, 0.2)
    assert info.n == strict.promise("alerts").n > 0
    assert info.digest != strict.calibration("tickets").digest
    assert strict.model.digest == load_artifact(tiny_model).digest


async def test_no_events_give_no_decisions(classifier: Classifier) -> None:
    """A batch of one domain has no events of the other; that call must not fail."""
    assert await classifier.classify("alerts", []) == []


async def test_any_string_is_decided(classifier: Classifier) -> None:
    """Otherwise one unreadable text would fail its whole batch."""
    hostile = [
        "",
        "\x00\x01\ufeff",
        "\ud800 lone",
        "x" * 100_000,
        "\U0001f4a5" * 3_000,
        "\u202e\u0000",
    ]
    decisions = await classifier.classify("tickets", [ticket(text) for text in hostile])
    assert len(decisions) == len(hostile)


@pytest.mark.parametrize("domain", DOMAINS)
async def test_an_embedding_depends_on_one_event(classifier: Classifier, domain: Domain) -> None:
    """Precedents are ranked by cosine; other vectors, or other lengths, would rank them wrongly."""
    events = sample_events(domain)[:8]
    together = await classifier.embed(domain, events)
    assert together.dtype == np.float32
    assert together.shape == (8, WIDTH)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1.0, atol=1e-6)
    alone = await classifier.embed(domain, events[3:4])
    np.testing.assert_array_equal(together[3:4], alone)
    assert (await classifier.embed(domain, [])).shape == (0, WIDTH)


@pytest.mark.parametrize("domain", DOMAINS)
def test_the_labels_are_those_of_the_model(tiny_model: Path, domain: Domain) -> None:
    """The LLM may only choose these labels, and an uncertain deciding axis needs a person."""
    classifier = Classifier.open(
        tiny_model, threads=THREADS, terms={"alerts": Terms(deciding=("severity",))}
    )
    assert classifier.labels(domain) == LABELS[domain]
    assert classifier.deciding(domain) == {"alerts": ("severity",), "tickets": ("queue",)}[domain]


async def test_close_fails_waiting_callers(classifier: Classifier) -> None:
    """Otherwise callers would wait for ever during a shutdown."""
    callers = [
        asyncio.create_task(classifier.classify("alerts", sample_events("alerts")))
        for _ in range(3)
    ]
    await asyncio.sleep(0)
    await classifier.close()
    answers = await asyncio.wait_for(asyncio.gather(*callers, return_exceptions=True), 10)
    assert all(isinstance(answer, EngineClosed) for answer in answers)


def test_the_usual_queues_are_those_of_the_model(tiny_model: Path) -> None:
    """Drift is measured against these shares, so they must name every queue and sum to one."""
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
def test_impossible_terms_are_refused(tiny_model: Path, terms: Terms, message: str) -> None:
    """Otherwise a mistyped axis would not be noticed, or the error would not name the key."""
    with pytest.raises(ConfigError, match=message) as raised:
        Classifier.open(tiny_model, threads=THREADS, terms={"alerts": terms})
    assert "\n" not in str(raised.value)


async def test_a_domain_without_heads_is_refused(tiny_model: Path, tmp_path: Path) -> None:
    """A model that was trained on alerts alone must classify alerts and refuse tickets."""
    model = reseal(tiny_model, tmp_path / "model", lambda domains: {"alerts": domains["alerts"]})
    classifier = Classifier.open(model.directory, threads=THREADS)
    assert classifier.domains == ("alerts",)
    assert await classifier.classify("alerts", sample_events("alerts")[:3])
    with pytest.raises(ModelError, match=r"has no heads for tickets; train it") as raised:
        await classifier.classify("tickets", [ticket("my card is gone")])
    assert "\n" not in str(raised.value)
    await classifier.close()


def test_labels_without_rows_in_the_head_are_refused(tiny_model: Path, tmp_path: Path) -> None:
    """Otherwise a model whose manifest and heads differ would fail at the first event."""

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
    ("limits", "finding"),
    [
        ({"max_excess_tokens": 1e-6}, "few known words"),
        ({"max_distance": 1e-6}, "unlike the training rows"),
    ],
    ids=["gibberish", "far from the training"],
)
async def test_an_out_of_distribution_event_is_never_accepted(
    tiny_model: Path, tmp_path: Path, limits: dict[str, float], finding: str
) -> None:
    """Otherwise an event unlike the training rows could be accepted with high confidence."""
    model = recalibrate(tiny_model, tmp_path / "model", limits)
    _, decisions = await decide(model, "alerts", Terms())
    unlike = [decision for decision in decisions if decision.ood_score > 0.5]
    assert len(unlike) > len(decisions) / 8
    outcomes = {(decision.accepted, decision.escalation, decision.risk) for decision in unlike}
    assert outcomes == {(False, "unfamiliar", 1.0)}
    assert all(label.abstained for decision in unlike for label in decision.labels.values())
    assert all(finding in decision.reason for decision in unlike)


async def test_the_score_of_an_event_without_words_is_one(classifier: Classifier) -> None:
    """Its excess tokens are infinite, and JSON has no infinity; above 0.5 nothing is accepted."""
    empty, normal = await classifier.classify("tickets", [ticket(""), ticket("my card was stolen")])
    assert (empty.ood_score, empty.accepted) == (1.0, False)
    assert 0.0 <= normal.ood_score < 0.5


TENANTS = ("acme", "bmce", "few")


async def test_a_tenant_with_enough_rows_has_its_own_threshold(
    tiny_model: Path, tmp_path: Path
) -> None:
    """Otherwise a tenant with many errors would get the threshold of all tenants."""
    model = recalibrate(tiny_model, tmp_path / "model", {"tenants": list(TENANTS)}, assign_tenants)
    classifier = Classifier.open(model, threads=THREADS)
    general = classifier.calibration("tickets")
    calibrations = {
        tenant: classifier.calibration("tickets", tenant)
        for tenant in (*TENANTS, "unknown", "default")
    }
    acme = calibrations["acme"]
    assert acme.threshold > general.threshold, "no row of this tenant was wrong"
    assert acme.n < general.n
    assert acme.digest != general.digest
    assert all(calibrations[tenant] == general for tenant in ("bmce", "few", "unknown", "default"))
    assert classifier.calibration("tickets", " \uff21CME\u200b") == acme, "another spelling of it"
    decisions: dict[str, list[Decision]] = {}
    for tenant, calibration in calibrations.items():
        events = [
            msgspec.structs.replace(event, tenant=tenant) for event in sample_events("tickets")
        ]
        decisions[tenant] = await classifier.classify("tickets", events)
        accepted = [decision.accepted for decision in decisions[tenant]]
        assert accepted == [decision.risk < calibration.threshold for decision in decisions[tenant]]
    labels = [decision.labels for decision in decisions["default"]]
    for tenant in calibrations:
        assert [decision.labels for decision in decisions[tenant]] == labels
    accepted_of_acme, accepted_of_default = (
        [decision.accepted for decision in decisions[tenant]] for tenant in ("acme", "default")
    )
    assert accepted_of_acme != accepted_of_default
    await classifier.close()


def test_a_missing_model_is_refused_in_one_sentence(tmp_path: Path) -> None:
    """A wrong [model] path is the most common mistake; it must not end in a traceback."""
    with pytest.raises(ModelError, match=r"no model in .*point \[model\] path at"):
        Classifier.open(tmp_path, threads=THREADS)


def assign_tenants(correct: npt.NDArray[np.int8]) -> npt.NDArray[np.int32]:
    """The tenant of each row.

    `acme` has half of the right rows, `bmce` all wrong rows, and `few` has 20 rows.
    """
    right = correct[:, 0] == 1
    tenant = np.where(right, np.where(np.arange(len(right)) % 2, 0, -1), 1).astype(np.int32)
    tenant[np.flatnonzero(tenant == -1)[:20]] = 2
    return tenant


def recalibrate(
    model: Path, out: Path, changes: Mapping[str, Any], assign: AssignTenants | None = None
) -> Path:
    """A copy of the model with changes to its calibration; `assign` gives the rows' tenants."""
    shutil.copytree(model, out)
    tensors = load_file(out / CALIBRATION_ROWS_FILE)
    for name in [name.removesuffix(".tenant") for name in tensors if name.endswith(".tenant")]:
        if assign:
            tensors[f"{name}.tenant"] = assign(tensors[f"{name}.correct"])
    save_file(tensors, out / CALIBRATION_ROWS_FILE)
    domains = {
        domain: msgspec.structs.replace(calibration, **changes)
        for domain, calibration in load_artifact(model).calibration.domains.items()
    }
    write_calibration(out, domains, {})
    return out


def reseal(
    model: Path, out: Path, change: Callable[[dict[str, DomainSpec]], dict[str, DomainSpec]]
) -> Artifact:
    """A copy of the model with changed domains, and the calibration of the domains it keeps."""
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
async def test_text_that_the_model_cannot_read_is_never_accepted(text: str) -> None:
    """Otherwise other languages and gibberish would be routed as ``out_of_scope``, unnoticed."""
    classifier = Classifier.open(threads=THREADS)
    (decision,) = await classifier.classify("tickets", [ticket(text)])
    await classifier.close()
    assert (decision.accepted, decision.escalation) == (False, "unfamiliar")
    assert all(label.abstained for label in decision.labels.values())


@pytest.mark.parametrize("domain", DOMAINS)
async def test_each_decision_is_that_of_the_event_at_its_place(
    classifier: Classifier, domain: Domain
) -> None:
    """Decisions come pass by pass, so an event could get the labels of another one."""
    events = sample_events(domain)
    given = [each async for each in classifier.classify_each(domain, events)]
    assert sorted(row for row, _ in given) == list(range(len(events)))
    in_order = await classifier.classify(domain, events)
    for row, decision in given:
        assert decision.labels == in_order[row].labels
        assert decision.risk == in_order[row].risk


async def test_the_inference_time_of_an_event_is_that_of_its_own_pass(tiny_model: Path) -> None:
    """An event would seem as slow as all passes of its batch together."""
    classifier = Classifier.open(tiny_model, threads=THREADS, max_batch_tokens=16)
    events = [ticket(text) for text in ("refund", "my card was stolen") for _ in range(20)]
    decisions = [decision async for _, decision in classifier.classify_each("tickets", events)]
    await classifier.close()
    assert len({decision.inference_s for decision in decisions}) > 10, "one pass per event"
