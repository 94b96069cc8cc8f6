"""The models in the console: the candidate and its promotion, and what models have learned."""

from pathlib import Path

import msgspec
import pytest

from inference.acceptance.forecast import COVERAGES, CurvePoint, LearningCurve
from inference.acceptance.learning import LEARNING, AxisLearning
from inference.learning.agreement import Agreement
from inference.model.artifact import CALIBRATION
from streams.config import LearningSection, ModelSection, Settings
from streams.console.candidate import NO_CANDIDATE, candidate_part, promotion
from streams.console.learned import NO_REGISTRY, learning_part
from streams.errors import RequestRefused
from streams.models import agreement_files
from streams.models.agreement_files import AgreementFile
from streams.models.registry import CURRENT, Registry
from streams.wiring.model import open_served
from tests.unit.test_registry import add


async def test_the_candidate_is_shown_and_promoted(tiny_model: Path, tmp_path: Path) -> None:
    """An admin could not see how a candidate does, or not let it take over."""
    registry = Registry(tmp_path / "models")
    say, promote = candidate_part(registry), promotion(registry)
    assert promote is not None
    assert await say() == (None, NO_CANDIDATE)
    name = add(registry, tiny_model)
    registry.propose(name, ["tickets"], by="test")
    found, why = await say()
    assert (found["name"], found["events"], found["agreement"], why) == (name, 0, None, None)
    counted = Agreement(events=4, same=3, both=1, only_candidate=1)
    document = AgreementFile(
        candidate=name, current={"tickets": None}, domains={"tickets": counted}
    )
    agreement_files.write(registry.directory, name, msgspec.json.encode(document))
    found, _ = await say()
    assert (found["events"], found["agreement"], found["coverage"]) == (4, 0.75, 0.5)
    await promote(name, "ann")
    assert registry.state().roles("tickets").current == name
    assert b'"by":"ann"' in (registry.directory / "log.ndjson").read_bytes()
    with pytest.raises(RequestRefused, match="has no model"):
        await promote("missing", "ann")
    (registry.directory / CURRENT).write_text("{")
    assert await say() == (None, NO_CANDIDATE)


async def test_without_a_registry_nothing_is_promoted() -> None:
    """The console would fail where nothing is learned."""
    assert promotion(None) is None
    assert await candidate_part(None)() == (None, NO_CANDIDATE)


def point(rows: int, wrong: int) -> CurvePoint:
    """So many rows, of which so many are wrong."""
    return CurvePoint(rows, (0,) * (len(COVERAGES) - 1) + (wrong,))


def teach(registry: Registry, name: str, rows: int, wrong: int) -> None:
    """Let the calibration of a model say that it learned from so many rows."""
    curve = LearningCurve(point(rows, wrong), (point(rows // 2, wrong), point(rows, wrong + 2)))
    path = registry.path(name) / CALIBRATION
    document = msgspec.json.decode(path.read_bytes())
    learned = {"tickets": {"queue": AxisLearning(curve, {})}}
    document["made_from"][LEARNING] = msgspec.to_builtins(learned)
    path.write_bytes(msgspec.json.encode(document))


async def test_the_learning_curve_has_a_point_of_each_model(
    tiny_model: Path, tmp_path: Path
) -> None:
    """People would decide for weeks and never see whether the model gets better by it."""
    settings = Settings(
        model=ModelSection(path=str(tiny_model), replicas=1),
        learning=LearningSection(models=str(tmp_path / "models"), min_new_rows=7),
    )
    registry = Registry(tmp_path / "models")
    models = open_served(settings)
    say = learning_part(settings, models)
    found, why = await say()
    assert found is None
    assert "have decided 7 events" in str(why)
    for number, (rows, wrong) in enumerate([(100, 20), (400, 40)]):
        teach(registry, add(registry, tiny_model, number), rows, wrong)
    damaged = add(registry, tiny_model, 2)
    (registry.path(damaged) / CALIBRATION).write_text("{")
    found, why = await say()
    assert why is None
    tickets = found["tickets"]
    assert [(each.rows, each.right) for each in tickets.models] == [(100, 0.8), (400, 0.9)]
    assert [(each.rows, each.right) for each in tickets.curve] == [(200, 0.8), (400, 0.895)]
    assert (tickets.axis, tickets.line) == ("queue", None)
    assert "alerts" not in found
    await models.close()
    models = open_served(Settings(model=ModelSection(path=str(tiny_model), replicas=1)))
    assert await learning_part(settings, models)() == (None, NO_REGISTRY)
    await models.close()


async def test_the_served_model_says_how_many_decisions_are_missing(
    tiny_model: Path, tmp_path: Path
) -> None:
    """Nobody would know whether a hundred decisions more are worth it, or ten thousand."""
    registry = Registry(tmp_path / "models")
    name = add(registry, tiny_model)
    teach(registry, name, 200, 20)
    registry.promote(name, by="test")
    settings = Settings(
        model=ModelSection(path=str(tiny_model), replicas=1),
        learning=LearningSection(models=str(registry.directory)),
    )
    models = open_served(settings)
    found, _ = await learning_part(settings, models)()
    line = found["tickets"].line
    assert line.alpha == settings.domain("tickets").alpha
    assert 0 <= line.accepted <= 1
    await models.close()
