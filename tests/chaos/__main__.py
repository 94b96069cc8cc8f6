"""`make chaos`: run the scenarios, and write a report with a time-line of each.

    python -m tests.chaos [--out FOLDER] [--short] [NAME...]

It ends with status 1 if any row has a problem.
"""

import argparse
import asyncio
import logging
import sys
import tempfile
import traceback
from itertools import groupby
from pathlib import Path

from tests.chaos.cluster import ChaosCluster
from tests.chaos.report import Report
from tests.chaos.run import Scenario, run_scenario
from tests.chaos.scenarios import SCENARIOS
from tests.tiny_model import build_tiny_model


def main() -> int:
    """Run the chosen scenarios one after the other, on one cluster of each version of Kafka."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=main.__doc__)
    names = [scenario.name for scenario in SCENARIOS]
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(names)}")
    parser.add_argument("--out", type=Path, default=Path("build/chaos"), help="for the report")
    parser.add_argument("--short", action="store_true", help="run only the short form's scenarios")
    options = parser.parse_args()
    if unknown := set(options.names) - set(names):
        parser.error(f"there is no scenario {', '.join(sorted(unknown))}")
    by_name = {scenario.name: scenario for scenario in SCENARIOS}
    chosen = [by_name[name] for name in options.names] or _form(short=options.short)
    # Our own clients would report every broker that we stop, several times a second.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    report = Report.read(options.out, names)
    with tempfile.TemporaryDirectory(prefix="triage-chaos-model-") as folder:
        model = build_tiny_model(Path(folder))
        held: list[bool] = []
        for version, scenarios in groupby(chosen, key=lambda scenario: scenario.kafka_version):
            with ChaosCluster(version) as cluster:
                held += [_holds(scenario, cluster, model, report) for scenario in scenarios]
    return int(not all(held))


def _form(*, short: bool) -> list[Scenario]:
    """The scenarios of the short or the long form."""
    return [scenario for scenario in SCENARIOS if scenario.short or not short]


def _holds(scenario: Scenario, cluster: ChaosCluster, model: Path, report: Report) -> bool:
    """Whether nothing is wrong with a scenario; its row is reported."""
    print(f"{scenario.name}: {scenario.what} ...", flush=True)
    folder = report.folder / "logs" / scenario.name
    try:
        row, run = asyncio.run(run_scenario(scenario, cluster, model, folder))
    except Exception:  # noqa: BLE001 - the others are run all the same
        traceback.print_exc()
        return False
    report.add(row, run.samples, run.fault_s)
    report.write()
    print(report.line(row), flush=True)
    return not row.problems


if __name__ == "__main__":
    sys.exit(main())
