"""The peers, and the virtual environments that they run in."""

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
BUILD = ROOT / "build" / "peers"

PINS: dict[str, tuple[str, ...]] = {
    # Gigabytes. It also prepares the models of the two environments below.
    "torch": (
        "aiokafka==0.14.0",
        "torch==2.15.0",
        "transformers==5.3.0",
        "scikit-learn==1.9.1",
        "onnx==1.23.2",
        "onnxscript==0.7.2",
        "model2vec[distill]==0.10.0",
    ),
    "onnxruntime": (
        "aiokafka==0.14.0",
        "onnxruntime==1.31.1",
        "onnx==1.23.2",
        "tokenizers==0.23.3",
    ),
    "model2vec": ("aiokafka==0.14.0", "model2vec==0.10.0"),
    "scikit-learn": ("aiokafka==0.14.0", "scikit-learn==1.9.1"),
}


class NotRunError(Exception):
    """Why a peer cannot run here, in one sentence."""


@dataclass(frozen=True, slots=True)
class Peer:
    """One peer: its model, and how many events it classifies together."""

    name: str
    model: str
    environment: str
    batch: int


PEERS = (
    Peer("transformers pipeline, fp32, batch 1", "transformers", "torch", 1),
    Peer("transformers pipeline, fp32, batch 32", "transformers", "torch", 32),
    Peer("ONNX Runtime, int8, batch 1", "onnx", "onnxruntime", 1),
    Peer("ONNX Runtime, int8, batch 32", "onnx", "onnxruntime", 32),
    Peer("model2vec and logistic regression", "model2vec", "model2vec", 256),
    Peer("TF-IDF and logistic regression", "tfidf", "scikit-learn", 256),
)

_ENCODER_STEPS = (
    ("torch", "export_onnx"),
    ("onnxruntime", "quantize_onnx"),
    ("onnxruntime", "embed"),
    ("torch", "fit_transformers"),
)
STEPS: dict[str, tuple[tuple[str, str], ...]] = {
    "transformers": _ENCODER_STEPS,
    "onnx": _ENCODER_STEPS,
    "model2vec": (("torch", "fit_model2vec"),),
    "tfidf": (("scikit-learn", "fit_tfidf"),),
}
"""How each model is made: in which environment which function of `fitting.py` runs."""


def python_of(name: str) -> Path:
    """The interpreter of an environment, which is made if it is missing or has other pins.

    Raises:
        NotRunError: it cannot be made.
    """
    directory = BUILD / name
    python, stamp = directory / "bin" / "python", directory / "pins.txt"
    wanted = "\n".join(PINS[name])
    if stamp.is_file() and stamp.read_text("utf-8") == wanted:
        return python
    print(f"making {directory.relative_to(ROOT)}: {', '.join(PINS[name])} ...", file=sys.stderr)
    try:
        _run([sys.executable, "-m", "venv", str(directory)])
        _run([str(python), "-m", "pip", "install", "--quiet", *PINS[name]])
    except (OSError, subprocess.CalledProcessError) as error:
        raise NotRunError(f"{name} cannot be installed: {_last_line(error)}") from None
    stamp.write_text(wanted, "utf-8")
    return python


def start_arguments(python: Path, module: str, *arguments: str) -> list[str]:
    """The command line that starts a module of this package in an environment."""
    return [str(python), "-m", f"benchmarks.peers.{module}", *arguments]


def variables(threads: int) -> dict[str, str]:
    """The environment variables of a peer's process: so many threads, and no network."""
    count = str(threads)
    return os.environ | {
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": count,
        "OPENBLAS_NUM_THREADS": count,
        "MKL_NUM_THREADS": count,
        "RAYON_NUM_THREADS": count,
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }


def run_step(python: Path, threads: int, *arguments: str) -> None:
    """Run `fitting.py` in an environment.

    Raises:
        NotRunError: it failed.
    """
    try:
        _run(start_arguments(python, "fitting", *arguments), variables(threads))
    except (OSError, subprocess.CalledProcessError) as error:
        raise NotRunError(f"{arguments[0]} failed: {_last_line(error)}") from None


def _run(command: Sequence[str], environment: dict[str, str] | None = None) -> None:
    subprocess.run(command, check=True, env=environment, capture_output=True, text=True, cwd=ROOT)


def _last_line(error: OSError | subprocess.CalledProcessError) -> str:
    lines = (getattr(error, "stderr", "") or str(error)).strip().splitlines()
    return lines[-1] if lines else type(error).__name__
