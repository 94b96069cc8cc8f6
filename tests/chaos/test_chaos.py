"""The short form of `make chaos`: the faults that happen most, and nothing is lost."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.cluster import ChaosCluster
from tests.chaos.report import Report
from tests.chaos.run import Scenario, run_scenario
from tests.chaos.scenarios import SCENARIOS
from tests.figures import tell

pytestmark = [pytest.mark.kafka, pytest.mark.faults, pytest.mark.timeout(600)]

SHORT = [scenario for scenario in SCENARIOS if scenario.short]


@pytest.fixture(scope="module")
def cluster() -> Iterator[ChaosCluster]:
    """Three brokers only for these tests, because they are killed."""
    with ChaosCluster() as cluster:
        yield cluster


@pytest.mark.parametrize("scenario", SHORT, ids=lambda scenario: scenario.name)
async def test_nothing_is_lost(
    scenario: Scenario, cluster: ChaosCluster, tiny_model: Path, tmp_path: Path
) -> None:
    """Events would be lost, answered in two ways, or become dead letters because of the fault."""
    row, _ = await run_scenario(scenario, cluster, tiny_model, tmp_path)
    tell(f"{scenario.what}:\n{Report.line(row)}")
    assert not row.problems
