"""The rows that teach the peers, and how right everyone is on the test rows."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import orjson

from benchmarks.peers.environments import BUILD, STEPS, Peer, python_of, run_step
from benchmarks.peers.worker import text_of
from benchmarks.refit import AUTHORED, FILES
from inference.arrays import Bools, Floats
from inference.classifier import Classifier
from inference.evaluation.formulas import coverage_at_accuracy
from inference.labelled import TEACHING_PARTS, LabelledRow, read_rows
from inference.model.threads import Threads
from schemas.event import DOMAINS

AXIS = "queue"
NEEDS_ENCODER = ("export_onnx", "fit_transformers", "fit_model2vec")


@dataclass(frozen=True, slots=True)
class Quality:
    """Figures of one domain on the test rows.

    `coverage` is the share that is accepted. For us the promise accepts; for a peer, the surest
    rows are counted until its errors reach `risk`, our share of wrong ones among the accepted.
    """

    rows: int
    accuracy: float
    coverage: float
    risk: float


class Rows:
    """The labelled rows, also written to a directory where the peers' programs find them.

    Without the files in `data`, `test` is empty and only the rows of the repository teach.
    """

    def __init__(self, data: Path) -> None:
        given = [data / name for name in FILES if (data / name).is_file()]
        files = [*sorted(AUTHORED.glob("*.ndjson")), *given]
        rows = [row for row in read_rows(files) if AXIS in row.gold]
        taught = [row for row in rows if row.part in TEACHING_PARTS]
        self.test = [row for row in rows if row.part == "test"]
        parts = (("train", taught), ("test", self.test))
        lines = b"".join(_line(row, part) for part, of_part in parts for row in of_part)
        self.directory = BUILD / "models" / hashlib.sha256(lines).hexdigest()[:12]
        self.directory.mkdir(parents=True, exist_ok=True)
        (self.directory / "rows.ndjson").write_bytes(lines)

    def of(self, domain: str) -> list[LabelledRow]:
        """The test rows of a domain."""
        return [row for row in self.test if row.domain == domain]


def model_of(peer: Peer, rows: Rows, encoder: Path, threads: int) -> Path:
    """The directory of a peer's model, which is made if it is missing, with its `answers.json`.

    Raises:
        NotRunError: it cannot be made.
    """
    for environment, step in STEPS[peer.model]:
        done = rows.directory / f"{step}.done"
        if not done.is_file():
            arguments = [str(encoder)] if step in NEEDS_ENCODER else []
            run_step(python_of(environment), threads, step, str(rows.directory), *arguments)
            done.touch()
    directory = rows.directory / peer.model
    if rows.test and not (directory / "answers.json").is_file():
        run_step(python_of(peer.environment), threads, "answer", str(rows.directory), peer.model)
    return directory


async def our_quality(rows: Rows, threads: Threads) -> dict[str, Quality]:
    """Our figures by domain; empty without test rows."""
    classifier = Classifier.open(threads=threads)
    figures: dict[str, Quality] = {}
    for domain in DOMAINS:
        of_domain = rows.of(domain)
        decisions = await classifier.classify(domain, [row.event for row in of_domain])
        if not decisions:
            continue
        correct = _correct(of_domain, [each.labels[AXIS].value for each in decisions])
        accepted = np.array([decision.accepted for decision in decisions])
        figures[domain] = Quality(
            len(of_domain),
            float(correct.mean()),
            float(accepted.mean()),
            float((~correct[accepted]).mean()),
        )
    await classifier.close()
    return figures


def peer_quality(directory: Path, rows: Rows, ours: dict[str, Quality]) -> dict[str, Quality]:
    """A peer's figures by domain; empty without test rows."""
    if not rows.test:
        return {}
    answers = json.loads((directory / "answers.json").read_text("utf-8"))
    figures: dict[str, Quality] = {}
    for domain in DOMAINS:
        queues, confidences = zip(*answers[domain], strict=True)
        correct = _correct(rows.of(domain), queues)
        figures[domain] = _at_risk(np.array(confidences), correct, ours[domain].risk)
    return figures


def _at_risk(confidence: Floats, correct: Bools, risk: float) -> Quality:
    coverage = coverage_at_accuracy(confidence, correct, 1 - risk)
    return Quality(len(correct), float(correct.mean()), coverage, risk)


def _correct(rows: Sequence[LabelledRow], queues: Sequence[str]) -> Bools:
    pairs = zip(rows, queues, strict=True)
    return np.array([queue in row.gold[AXIS] for row, queue in pairs], dtype=np.bool_)


def _line(row: LabelledRow, part: str) -> bytes:
    event = {name: getattr(row.event, name) for name in ("title", "text", "body", "event")}
    return (
        orjson.dumps(
            {"domain": row.domain, "part": part, "text": text_of(event), AXIS: row.gold[AXIS][0]}
        )
        + b"\n"
    )
