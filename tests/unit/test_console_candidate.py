"""The candidate in the console: its figures, and its promotion."""

from pathlib import Path

import msgspec
import pytest

from inference.learning.agreement import Agreement
from streams.console.candidate import NO_CANDIDATE, candidate_part, promotion
from streams.errors import RequestRefused
from streams.models import agreement_files
from streams.models.agreement_files import AgreementFile
from streams.models.registry import CURRENT, Registry
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
