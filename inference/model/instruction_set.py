"""Which instructions of the processor the encoder uses: a self-test before it is loaded.

CTranslate2 takes AVX2, also where AVX512 is quicker. It reads the variable `CT2_FORCE_CPU_ISA` when
it is loaded, and never again. So each set of instructions is tried in a process of its own, both at
the same time: what else the machine does slows both down. What was found is kept in a file of the
user, because the next start must come to the same result: vectors differ in their last bits.
"""

import contextlib
import json
import logging
import os
import platform
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Self

from inference.model.artifact import Artifact, load_manifest
from inference.model.encoder import open_tokenizer, start_encoder
from inference.model.heads import Heads, unit_rows

log = logging.getLogger(__name__)

VARIABLE, LIBRARY = "CT2_FORCE_CPU_ISA", "ctranslate2"
USUAL, QUICKER = "AVX2", "AVX512"
NEEDED_FLAGS = frozenset({"avx512f", "avx512cd", "avx512bw", "avx512dq", "avx512vl"})
LIMIT_S = 2.0
"""For the whole self-test. If it takes longer, CTranslate2 chooses."""
ROUNDS = 12
WORTH_CHANGING = 1.05
MAX_KEPT = 32
TEXTS = (
    "My card was stolen last night",
    "Why was I charged a fee for the transfer to my brother in Spain?",
    "I cannot log in since I changed my phone. The app says that the passcode is wrong",
    "Multiple failed logins followed by a success for an administrator",
    """Suspicious PowerShell command line
process powershell.exe; parent winword.exe; action blocked; user domain admins
An encoded command was started by a document and opened a connection to a new address.""",
    "S3 bucket allows public read access\nservice s3; event PutBucketPolicy",
    "Outbound traffic to a known command and control server\nproto tcp; app tls; action allowed",
    "A mail with a link to a page that asks for passwords was delivered to 14 mailboxes",
)


@dataclass(frozen=True, slots=True)
class Trial:
    """What one set of instructions gave: seconds of the processor, and a label of each head."""

    seconds: float
    labels: tuple[int, ...]

    @classmethod
    def parse(cls, output: bytes) -> Self:
        """What `main` prints.

        Raises:
            ValueError: it is something else.
        """
        seconds, labels = json.loads(output)
        return cls(float(seconds), tuple(map(int, labels)))


def choose_instructions(artifact: Artifact) -> None:
    """Let the encoder that is loaded later use the quickest instructions; it never fails.

    Nothing is done if CTranslate2 is loaded already, or if the variable is set.
    """
    if LIBRARY in sys.modules or os.environ.get(VARIABLE):
        return
    processor = _processor()
    if not NEEDED_FLAGS.issubset(processor.get("flags", "").split()):
        return
    name = processor.get("model name", platform.machine())
    key = f"{name}, {LIBRARY} {version(LIBRARY)}, {artifact.digest}"
    kept = _kept()
    chosen = kept.get(key)
    if chosen not in (USUAL, QUICKER):
        chosen = _fastest(artifact.directory)
        if chosen is None:
            return
        _keep(kept | {key: chosen})
    else:
        log.info("the encoder uses %s, as an earlier self-test has chosen", chosen)
    os.environ[VARIABLE] = chosen


def _fastest(directory: Path) -> str | None:
    """The set of instructions that the self-test chooses; None if it could not be made."""
    try:
        usual, quicker = trials(directory)
    except (OSError, ValueError, TypeError, subprocess.SubprocessError) as error:
        log.info("no self-test of the instruction set (%s); CTranslate2 chooses it", error)
        return None
    ratio = usual.seconds / max(quicker.seconds, 1e-9)
    chosen = USUAL
    if quicker.labels != usual.labels:
        log.warning("%s gives other labels than %s on this processor", QUICKER, USUAL)
    elif ratio > WORTH_CHANGING:
        chosen = QUICKER
    log.info("the encoder uses %s; %s is %.2f times as fast as %s", chosen, QUICKER, ratio, USUAL)
    return chosen


def trials(directory: Path, limit_s: float = LIMIT_S) -> tuple[Trial, Trial]:
    """Try both sets of instructions, `USUAL` and `QUICKER`, at the same time, in a process each.

    Raises:
        OSError, ValueError, TypeError, SubprocessError: a trial failed, or took too long.
    """
    command = [sys.executable, "-m", __spec__.name, str(directory)]
    end_s = time.monotonic() + limit_s
    with contextlib.ExitStack() as stack:
        processes = []
        for name in (USUAL, QUICKER):
            process = subprocess.Popen(  # noqa: S603 - our own module
                command,
                env=os.environ | {VARIABLE: name},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
            stack.enter_context(process)
            stack.callback(process.kill)
            processes.append(process)
        usual, quicker = (
            process.communicate(timeout=max(0.0, end_s - time.monotonic()))[0]
            for process in processes
        )
    return Trial.parse(usual), Trial.parse(quicker)


def _processor() -> dict[str, str]:
    """The facts of the first processor; empty on a system that does not tell them like Linux."""
    try:
        text = Path("/proc/cpuinfo").read_text("utf-8").partition("\n\n")[0]
    except OSError:
        return {}
    pairs = (line.partition(":") for line in text.splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}


def _file() -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "triage" / "instruction-set.json"


def _kept() -> dict[str, str]:
    """What earlier self-tests have chosen; nothing if the file cannot be read."""
    try:
        kept = json.loads(_file().read_bytes())
        return {str(key): str(name) for key, name in kept.items()}
    except (OSError, RuntimeError, ValueError, AttributeError):
        return {}


def _keep(chosen: Mapping[str, str]) -> None:
    """Write what was chosen; without a directory for it, the next start makes the test again."""
    with contextlib.suppress(OSError, RuntimeError):
        file = _file()
        file.parent.mkdir(parents=True, exist_ok=True)
        draft = file.with_suffix(f".{os.getpid()}")
        draft.write_text(json.dumps(dict(list(chosen.items())[-MAX_KEPT:]), indent=1), "utf-8")
        draft.replace(file)


def main() -> None:
    """Time the encoder of a model directory with the instructions that the variable names."""
    directory = Path(sys.argv[1])
    manifest = load_manifest(directory)
    encoder = start_encoder(directory, manifest.encoder, replicas=1)
    ids = open_tokenizer(directory, manifest.encoder).encode(TEXTS)
    units = unit_rows(encoder.embed(ids))
    heads = [
        head
        for domain in manifest.domains
        for head in Heads.of(directory, manifest, domain).heads.values()
    ]
    labels = [label for head in heads for label in head.logits(units).argmax(axis=1).tolist()]
    seconds = []
    for _ in range(ROUNDS):
        started_s = time.process_time()
        encoder.embed(ids)
        seconds.append(time.process_time() - started_s)
    sys.stdout.write(json.dumps([min(seconds), labels]))


if __name__ == "__main__":
    main()
