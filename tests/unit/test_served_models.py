"""What a worker serves: the swap to a promoted model, at work, without mixing anything."""

import asyncio
import logging
import shutil
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agents.outcomes import Escalated, Triaged
from inference.errors import ConfigError, ModelError
from inference.labels.file import LabelEntry, LabelsFile
from inference.learning.agreement import Agreement, together
from inference.rules.options import ImpactOptions
from inference.rules.ruling import Rules
from inference.serving import Serving
from schemas.event import Event
from streams.config import LearningSection, ModelSection, Settings
from streams.models import agreement_files
from streams.models.registry import Registry
from streams.models.served import ServedModels
from streams.models.shadow import Shadow
from streams.models.triage import triage
from streams.wiring.model import open_candidate, open_served, registry_of, require_registry
from tests.patience import until
from tests.records import record
from tests.tiny_model import SAMPLES, build_tiny_model
from tests.triage import read_all
from tests.unit.test_registry import add

RULES = Rules.of([], ImpactOptions(alerts="", tickets=""), {"alerts": {}, "tickets": {}})


@pytest.fixture
def settings(tiny_model: Path, tmp_path: Path) -> Settings:
    """A tiny model, and a registry that is still empty."""
    return Settings(
        model=ModelSection(path=str(tiny_model), replicas=1, threads_per_replica=1),
        learning=LearningSection(models=str(tmp_path / "models")),
    )


@pytest.fixture
def registry(settings: Settings) -> Registry:
    """The registry of the settings."""
    return require_registry(settings)


@pytest.fixture
async def opened(settings: Settings) -> AsyncIterator[Callable[[], ServedModels]]:
    """Opens what is served; it is closed at the end."""
    models: list[ServedModels] = []

    def open_() -> ServedModels:
        models.append(open_served(settings))
        return models[-1]

    yield open_
    for each in models:
        await each.close()


def other_model(tmp_path: Path) -> Path:
    """A model with other weights."""
    return build_tiny_model(tmp_path / "other", seed=1)


async def decided(models: ServedModels, count: int = 20) -> list[Any]:
    """The triaged events of some sample tickets."""
    lines = (SAMPLES / "tickets.ndjson").read_bytes().splitlines()[:count]
    records = [record(line, offset=i, topic="triage.tickets.v1") for i, line in enumerate(lines)]
    batch = await read_all(records, kind="ticket", domains=models.serving.domains)
    outcomes = [outcome async for _, outcome in triage(batch, models=models, rules=RULES)]
    cases = [outcome.case for outcome in outcomes if isinstance(outcome, Escalated)]
    ended = [outcome.triaged for outcome in outcomes if isinstance(outcome, Triaged)]
    return ended + [case.triaged for case in cases]


async def test_a_promoted_model_is_taken_over(
    opened: Callable[[], ServedModels], registry: Registry, tmp_path: Path
) -> None:
    """Workers would have to be started again after every promotion."""
    models = opened()
    before = {event.model.digest for event in await decided(models)}
    name = add(registry, other_model(tmp_path))
    registry.promote(name, by="test")
    told: list[tuple[Serving, bool]] = []
    models.on_change.append(lambda next_: told.append((next_, models.serving is next_)))
    await models.refresh()
    assert told == [(models.serving, False)], "a lowered threshold must hold from the first batch"
    assert models.models == {"alerts": name, "tickets": name}
    after = {event.model.digest for event in await decided(models)}
    assert len(before) == len(after) == 1
    assert not before & after
    registry.roll_back(by="test")
    await models.refresh()
    assert {event.model.digest for event in await decided(models)} == before


async def test_a_batch_is_decided_by_one_model(
    opened: Callable[[], ServedModels], registry: Registry, tmp_path: Path
) -> None:
    """Events of one batch would be decided by different models, or fail because one was closed."""
    models = opened()
    registry.promote(add(registry, other_model(tmp_path)), by="test")
    with models.use() as serving:
        await models.refresh()
        assert models.serving is not serving
        event = Event(id="a", kind="ticket", text="refund please")
        (decision,) = await serving.classify("tickets", [event])
        assert decision.labels
        assert len(models._opened) == 2, "it stays open until the batch ends"
    await until(lambda: not models._closing)
    assert len(models._opened) == 1


async def test_the_swap_loses_no_event_in_hand(
    opened: Callable[[], ServedModels], registry: Registry, tmp_path: Path
) -> None:
    """Batches that run during the swap would fail."""
    models = opened()
    names = [add(registry, other_model(tmp_path), number) for number in range(2)]
    batches = [asyncio.create_task(decided(models)) for _ in range(6)]
    for name in names:
        registry.promote(name, by="test")
        await models.refresh()
        batches += [asyncio.create_task(decided(models)) for _ in range(3)]
    for events in await asyncio.gather(*batches):
        assert len({event.model.digest for event in events}) == 1


async def test_a_model_that_cannot_be_served_changes_nothing(
    opened: Callable[[], ServedModels],
    registry: Registry,
    tiny_model: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A damaged model in the registry would end every worker."""
    models = opened()
    served = models.serving
    name = add(registry, tiny_model)
    registry.promote(name, by="test")
    (registry.path(name) / "heads.safetensors").write_bytes(b"half")
    with caplog.at_level(logging.ERROR):
        await models.refresh()
        await models.refresh()
    assert models.serving is served
    assert caplog.text.count("stay as they are") == 1, "it is said once, not every two seconds"


async def test_nothing_is_closed_while_others_are_opened(
    opened: Callable[[], ServedModels], registry: Registry, tmp_path: Path
) -> None:
    """A batch that ends during the swap would close the model that is about to be served."""
    models = opened()
    registry.promote(add(registry, other_model(tmp_path)), by="test")
    choose = models._choose

    def choose_while_a_batch_ends(state: Any) -> Any:
        chosen = choose(state)
        asyncio.run_coroutine_threadsafe(decided(models, 2), loop).result(30)
        return chosen

    loop = asyncio.get_running_loop()
    models._choose = choose_while_a_batch_ends  # type: ignore[method-assign]
    await models.refresh()
    assert await decided(models)


async def test_a_damaged_registry_changes_nothing(
    opened: Callable[[], ServedModels], registry: Registry, caplog: pytest.LogCaptureFixture
) -> None:
    """A file that somebody edited would end the workers, or fill their logs."""
    models = opened()
    served = models.serving
    registry.directory.mkdir(exist_ok=True)
    (registry.directory / "current").write_text("{")
    for _ in range(3):
        await models.refresh()
    assert models.serving is served
    assert caplog.text.count("stay as they are") == 1


async def test_each_domain_has_a_model_of_its_own(
    opened: Callable[[], ServedModels], registry: Registry, tmp_path: Path
) -> None:
    """A model that was learned from tickets would leave the alerts without a model."""
    name = add(registry, other_model(tmp_path))
    manifest = registry.path(name) / "manifest.json"
    models = opened()
    registry._change("promoted", name, ["tickets"], "test", partial(_serve, name=name))
    await models.refresh()
    assert models.models == {"alerts": None, "tickets": name}
    assert manifest.is_file()
    digests = {models.serving.model_of(domain).digest for domain in models.serving.domains}
    assert len(digests) == 2


def _serve(roles: Any, *, name: str) -> Any:
    return msgspec.structs.replace(roles, current=name)


class Half:
    """A classifier with some of the axes of another one."""

    def __init__(self, classifier: Any, axes: tuple[str, ...]) -> None:
        self._classifier = classifier
        self._axes = axes

    def __getattr__(self, name: str) -> Any:
        return getattr(self._classifier, name)

    def labels(self, domain: Any) -> dict[str, tuple[str, ...]]:
        """The labels of its axes."""
        return {axis: self._classifier.labels(domain)[axis] for axis in self._axes}

    async def classify(self, domain: Any, events: Any) -> list[Any]:
        """Decide with the labels of its axes."""
        decisions = await self._classifier.classify(domain, events)
        return [
            msgspec_replace(each, {axis: each.labels[axis] for axis in self._axes})
            for each in decisions
        ]


def msgspec_replace(decision: Any, labels: dict[str, Any]) -> Any:
    """The decision with these labels only."""
    return type(decision)(
        labels,
        decision.risk,
        decision.ood_score,
        decision.accepted,
        decision.reason,
        decision.escalation,
        decision.inference_s,
    )


async def test_axes_that_a_learned_model_lacks_stay(opened: Callable[[], ServedModels]) -> None:
    """Consumers that read the priority would get none as soon as queues were learned."""
    whole: Any = opened().serving.of("tickets")
    half: Any = Half(whole, ("queue",))
    serving = Serving({"tickets": half}, {"tickets": whole})
    assert set(serving.labels("tickets")) == {"queue", "intent", "priority"}
    (decision,) = await serving.classify(
        "tickets", [Event(id="a", kind="ticket", text="refund please")]
    )
    assert set(decision.labels) == {"queue", "intent", "priority"}
    assert serving.deciding("tickets") == ("queue",)
    assert Serving({"tickets": half}).label_sets == {"tickets": half.labels("tickets")}


async def test_a_person_may_choose_labels_of_either_model(
    settings: Settings, registry: Registry, tiny_model: Path
) -> None:
    """During a rollout, verdicts about events of the other workers' model would be refused."""
    labels = LabelsFile({"tickets": {"queue": {"brand_new": LabelEntry()}}})
    name = add(registry, tiny_model)
    _rename_a_label(registry.path(name) / "manifest.json", "transfers", "wires")
    models = open_served(settings)
    models._labels_file = labels
    registry.propose(name, ["tickets"], by="test")
    await models.refresh()
    allowed = models.allowed_labels["tickets"]["queue"]
    assert {"transfers", "wires", "brand_new"} <= set(allowed)
    assert "wires" not in models.label_sets["tickets"]["queue"]
    assert set(models.label_sets) == {"alerts", "tickets"}
    await models.close()


def _rename_a_label(manifest: Path, old: str, new: str) -> None:
    manifest.write_text(manifest.read_text("utf-8").replace(f'"{old}"', f'"{new}"'), "utf-8")


async def test_model_path_may_name_the_registry(
    registry: Registry, tiny_model: Path, tmp_path: Path
) -> None:
    """One would have to name the models in two places."""
    name = add(registry, tiny_model)
    registry.promote(name, by="test")
    settings = Settings(
        model=ModelSection(path=str(registry.directory), replicas=1, threads_per_replica=1)
    )
    models = open_served(settings)
    assert models.models == {"alerts": name, "tickets": name}
    await models.close()
    assert registry_of(Settings(model=ModelSection(path=str(tiny_model)))) is None
    with pytest.raises(ConfigError, match=r"learning\.models"):
        require_registry(Settings())


async def test_a_worker_does_not_start_with_a_missing_model(
    settings: Settings, registry: Registry, tiny_model: Path
) -> None:
    """It would decide with another model than the one that was promoted."""
    name = add(registry, tiny_model)
    registry.promote(name, by="test")
    shutil.rmtree(registry.path(name))
    with pytest.raises(ModelError, match="has no model"):
        open_served(settings)


async def shadowed(settings: Settings, registry: Registry, tmp_path: Path) -> tuple[Any, Shadow]:
    """What is served, with a candidate beside it."""
    name = add(registry, other_model(tmp_path))
    registry.propose(name, ["tickets"], by="test")
    models = open_served(settings)
    shadow = Shadow(models, partial(open_candidate, settings), 1.0)
    models.on_decided.append(shadow.offer)
    await shadow.refresh()
    return models, shadow


async def test_the_candidate_answers_the_same_events(
    settings: Settings, registry: Registry, tmp_path: Path
) -> None:
    """Nobody would know how the candidate does on live events, or it would publish something."""
    models, shadow = await shadowed(settings, registry, tmp_path)
    digest = models.serving.model_of("tickets").digest
    events = await decided(models)
    await until(lambda: shadow.agreement["tickets"].events)
    assert {event.model.digest for event in events} == {digest}
    counted = shadow.agreement["tickets"]
    assert counted.events == 16, "no more of a batch than can be answered soon"
    assert sum(counted.pairs.values()) == counted.events - counted.same
    await shadow.close()
    name = registry.state().roles("tickets").candidate or ""
    read = agreement_files.read(registry.directory, name, {"tickets": None})
    assert read == {"tickets": counted}
    assert not agreement_files.read(registry.directory, name, {"tickets": "another"})
    agreement_files.remove_others(registry.directory, [])
    assert not agreement_files.read(registry.directory, name, {"tickets": None})
    await models.close()


async def test_the_candidate_takes_no_more_than_its_share(
    settings: Settings, registry: Registry, tmp_path: Path
) -> None:
    """A candidate could slow the worker down."""
    models, shadow = await shadowed(settings, registry, tmp_path)
    shadow._share, shadow._credit_s, shadow._clock = 0.05, -1.0, lambda: 0.0
    shadow._earned_at_s = 0.0
    await decided(models)
    assert shadow._running is None, "its time is used up"
    shadow._clock = lambda: 21.0
    await decided(models)
    assert shadow._running is not None, "after 21 s of 5 % it has earned a second"
    await shadow.close()
    await models.close()


async def test_a_candidate_may_be_withdrawn_while_it_answers(
    settings: Settings, registry: Registry, tmp_path: Path
) -> None:
    """The worker would fail, or count the answers of one candidate for the next."""
    models, shadow = await shadowed(settings, registry, tmp_path)
    await decided(models)
    name = shadow.candidate
    assert name is not None
    registry.withdraw(name, by="test")
    await models.refresh()
    await shadow.refresh()
    assert shadow.candidate is None
    assert shadow.agreement == {}
    await decided(models)
    await shadow.close()
    await models.close()


def test_agreements_of_workers_add_up() -> None:
    """What another worker has seen would not count."""
    one = Agreement(events=3, same=2, both=1, only_candidate=1, pairs={"queue: a -> b": 1})
    total = together([one, one])
    assert (total.events, total.same, total.pairs) == (6, 4, {"queue: a -> b": 2})
    assert (total.current_coverage, total.candidate_coverage) == (2 / 6, 4 / 6)
