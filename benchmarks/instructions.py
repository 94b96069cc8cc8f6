"""`python -m benchmarks.instructions`: the encoder with AVX2 and with AVX512, in pairs.

Each pair runs at the same time, in a process each, and is counted in seconds of the processor. Then
both answer all samples, and the decisions that differ are counted: the calibration was made with
AVX2, and the vectors differ in their last bits.
"""

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
from pathlib import Path

import orjson

from benchmarks.formats import events
from benchmarks.load import samples
from benchmarks.rows import Measurement, show, write
from inference.classifier import Classifier
from inference.model.artifact import DEFAULT_MODEL
from inference.model.instruction_set import QUICKER, TEXTS, USUAL, VARIABLE, trials
from inference.model.threads import Threads
from schemas.event import DOMAINS

RESULTS = Path(__file__).parent / "instructions.ndjson"
PATIENCE_S = 120.0


def main() -> None:
    """Print the rows and write them, or with --answer print the decisions of this process."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.instructions", description=main.__doc__
    )
    parser.add_argument("--pairs", type=int, default=9, help="number of pairs")
    parser.add_argument("--answer", action="store_true", help="print the decisions on all samples")
    parser.add_argument("--out", type=Path, default=RESULTS, help="the file for the rows")
    arguments = parser.parse_args()
    if arguments.answer:
        sys.stdout.buffer.write(orjson.dumps(asyncio.run(answers())))
        return
    rows = [*speeds(arguments.pairs), *differences()]
    show(rows)
    write(rows, arguments.out)


def speeds(pairs: int) -> list[Measurement]:
    """Texts per second of the processor, and the median ratio of the pairs."""
    measured = [trials(DEFAULT_MODEL, PATIENCE_S) for _ in range(pairs)]
    ratios = sorted(usual.seconds / quicker.seconds for usual, quicker in measured)
    usual, quicker = (
        len(TEXTS) / statistics.median(trial.seconds for trial in of_set)
        for of_set in zip(*measured, strict=True)
    )
    note = f"median of {pairs} pairs; ratios {ratios[0]:.2f} to {ratios[-1]:.2f}"
    return [
        Measurement(f"encoder with {USUAL}", usual, "texts/processor-s", note=note),
        Measurement(
            f"encoder with {QUICKER}",
            quicker,
            "texts/processor-s",
            f"encoder with {USUAL}",
            statistics.median(ratios),
            note,
        ),
    ]


def differences() -> list[Measurement]:
    """How many decisions on the samples are others with the quicker instructions."""
    usual, quicker = (
        orjson.loads(
            subprocess.run(
                [sys.executable, "-m", "benchmarks.instructions", "--answer"],
                env=os.environ | {VARIABLE: name},
                stdout=subprocess.PIPE,
                check=True,
            ).stdout
        )
        for name in (USUAL, QUICKER)
    )
    pairs = list(zip(usual, quicker, strict=True))
    note = f"of {len(pairs)} samples"
    accepted = sum(first["accepted"] != second["accepted"] for first, second in pairs)
    rows = [Measurement("accepted with one set only", accepted, "samples", note=note)]
    for axis in sorted({axis for answer in usual for axis in answer["labels"]}):
        of_axis = [pair for pair in pairs if axis in pair[0]["labels"]]
        other = sum(a["labels"][axis] != b["labels"][axis] for a, b in of_axis)
        note = f"of {len(of_axis)} samples"
        rows.append(Measurement(f"another {axis}", other, "samples", note=note))
    return rows


async def answers() -> list[dict[str, object]]:
    """What this process decides about each sample."""
    every = [*(event for _, event in samples()), *(event for _, _, event in events())]
    classifier = Classifier.open(threads=Threads(1, 1))
    decisions = [
        decision
        for domain in DOMAINS
        for decision in await classifier.classify(
            domain, [event for event in every if event.domain == domain]
        )
    ]
    await classifier.close()
    return [
        {
            "accepted": decision.accepted,
            "labels": {axis: label.value for axis, label in decision.labels.items()},
        }
        for decision in decisions
    ]


if __name__ == "__main__":
    main()
