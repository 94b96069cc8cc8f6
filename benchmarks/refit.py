"""`python -m benchmarks.refit`: the shipped model made anew around its encoder, in minutes.

The encoder and its heads stay. The n-grams, the centres and the calibration are made from all
labelled rows: those of the data directory and every file in `inference/training/authored`. The head
of the queue of tickets learns from them, too. The n-grams of the tactic and the severity of alerts
stay, because the rows that came last have neither. The model card is written with the new figures.
"""

import argparse
import shutil
from pathlib import Path

from streams.cli import triage

ROOT = Path(__file__).parents[1]
MODEL = ROOT / "inference" / "models" / "default"
AUTHORED = ROOT / "inference" / "training" / "authored"
NOTES = Path(__file__).with_name("refit.md")
DATA = ROOT.parent / "shared" / "data"
FILES = ("alerts_dev.jsonl.gz", "tickets_banking_dev.jsonl.gz")
RELEARNED = ("tickets.queue",)
NGRAMS_KEPT = ("alerts.tactic", "alerts.severity")


def main() -> None:
    """Make the model, and with `--install` put it in the place of the shipped one."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.refit", description=main.__doc__)
    parser.add_argument("--name", required=True, help="the name of the new model")
    parser.add_argument("--data", type=Path, default=DATA, help=f"the directory of {FILES}")
    parser.add_argument("--source", type=Path, default=MODEL, help="the model whose encoder stays")
    parser.add_argument("--out", type=Path, help="the new model directory (default: build/NAME)")
    parser.add_argument("--install", action="store_true", help="ship the new model")
    arguments = parser.parse_args()
    out = arguments.out or ROOT / "build" / arguments.name
    rows = [arguments.data / name for name in FILES] + sorted(AUTHORED.glob("*.ndjson"))
    notes = [note.strip() for note in NOTES.read_text("utf-8").split("\n\n")]
    triage(
        [
            "train",
            "--quick",
            "--keep-heads",
            "--ignore-tenants",
            f"--encoder={arguments.source}",
            f"--name={arguments.name}",
            f"--out={out}",
            *(f"--data={file}" for file in rows),
            *(f"--relearn={head}" for head in RELEARNED),
            *(f"--keep-ngrams={axis}" for axis in NGRAMS_KEPT),
            *(f"--note={note}" for note in notes),
        ],
        standalone_mode=False,
    )
    if arguments.install:
        for file in out.iterdir():
            shutil.copyfile(file, MODEL / file.name)


if __name__ == "__main__":
    main()
