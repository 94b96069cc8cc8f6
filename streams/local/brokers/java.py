"""Java and Maven, and Apache Kafka itself, which Maven fetches once into the user's cache."""

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from streams.disk import locked
from streams.errors import BrokerError

KAFKA_VERSION = "4.1.0"
JAVA_MINIMUM = 17
POM = Path(__file__).parent / "kafka-pom.xml"
# The full coordinate: the short prefix would make Maven look plugins up by name first. The pom pins
# its version.
COPY_GOAL = "org.apache.maven.plugins:maven-dependency-plugin:copy-dependencies"
FETCH_TIMEOUT_S = 600


def default_cache_dir() -> Path:
    """`$XDG_CACHE_HOME/triage`, or `~/.cache/triage` (XDG Base Directory Specification)."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "triage"


def java_command() -> str | None:
    """The `java` of `JAVA_HOME` if that is set, else of the `PATH`."""
    home = os.environ.get("JAVA_HOME")
    return shutil.which("java", path=f"{home}/bin") if home else shutil.which("java")


def java_major() -> int:
    """The major version of that `java`; 0 if there is none, or it does not print its version."""
    java = java_command()
    if java is None:
        return 0
    printed = subprocess.run([java, "-version"], capture_output=True, text=True, check=False).stderr  # noqa: S603 - our own look-up
    found = re.search(r'version "(\d+)', printed)
    return int(found[1]) if found else 0


def kafka_available(cache_dir: Path | None = None) -> str | None:
    """None if a real Kafka can run here; otherwise a sentence that says what is missing.

    Maven is needed only until the cache is whole. Whether Maven can reach its repository is not
    tried.
    """
    if (major := java_major()) < JAVA_MINIMUM:
        found = f"Java {major} is too old" if major else "there is no Java"
        return f"{found}; install Java {JAVA_MINIMUM} or newer to run Apache Kafka"
    if not is_cached(cache_dir or default_cache_dir()) and shutil.which("mvn") is None:
        return "there is no Maven; install Maven (mvn) to fetch Apache Kafka"
    return None


def home_of(cache_dir: Path, version: str = KAFKA_VERSION) -> Path:
    """The directory of a version in the cache."""
    return cache_dir / f"kafka-{version}"


def is_cached(cache_dir: Path, version: str = KAFKA_VERSION) -> bool:
    """Whether the jars are there, whole, and of the pom we ship.

    The directory appears by a rename when it is complete and holds a copy of the pom it was made
    from, so a half-finished one is never seen and one of an older pom is recognised.
    """
    copy = home_of(cache_dir, version) / POM.name
    return copy.is_file() and copy.read_text("utf-8") == _pom(version)


def fetch_jars(cache_dir: Path, version: str = KAFKA_VERSION) -> Path:
    """The directory of Kafka's jars; they are fetched (54 MB) if the cache is not complete.

    Several processes may call this at the same time.

    Raises:
        BrokerError: Maven is missing, failed, or took longer than ten minutes.
    """
    try:
        cache_dir.mkdir(parents=True, exist_ok=True)
        lock = cache_dir / f"kafka-{version}.lock"
        lock.touch()
    except OSError as error:
        raise BrokerError(
            f"cannot write to the cache {cache_dir}: {error.strerror}; choose another directory"
        ) from None
    with locked(lock):
        if not is_cached(cache_dir, version):
            _fill(cache_dir, version)
    return home_of(cache_dir, version) / "libs"


def _fill(cache_dir: Path, version: str) -> None:
    home = home_of(cache_dir, version)
    # We hold the lock, so no other process uses what an earlier attempt left unfinished.
    for leftover in cache_dir.glob(f"{home.name}.partial-*"):
        shutil.rmtree(leftover, ignore_errors=True)
    partial = Path(tempfile.mkdtemp(prefix=f"{home.name}.partial-", dir=cache_dir))
    try:
        (partial / POM.name).write_text(_pom(version), "utf-8")
        _run_maven(partial, version)
        shutil.rmtree(home, ignore_errors=True)
        partial.rename(home)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _pom(version: str) -> str:
    """The pom for a version of Kafka."""
    return POM.read_text("utf-8").replace(KAFKA_VERSION, version)


def _run_maven(folder: Path, version: str) -> None:
    """Copy the jars that the pom in a folder names into its folder ``libs``."""
    libs = folder / "libs"
    mvn = shutil.which("mvn")
    if mvn is None:
        raise BrokerError("there is no Maven; install Maven (mvn) to fetch Apache Kafka")
    command = [
        mvn,
        "-q",
        "-B",
        "-f",
        str(folder / POM.name),
        COPY_GOAL,
        "-DincludeScope=runtime",
        f"-DoutputDirectory={libs}",
    ]
    try:
        done = subprocess.run(  # noqa: S603 - our own command line
            command, capture_output=True, text=True, check=False, timeout=FETCH_TIMEOUT_S
        )
    except subprocess.TimeoutExpired:
        raise BrokerError(
            f"Maven took longer than {FETCH_TIMEOUT_S} s; check its access to a repository"
        ) from None
    if done.returncode or not any(libs.glob(f"kafka_*-{version}.jar")):
        printed = [
            line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()
        ]
        reason = (
            printed[0].removeprefix("[ERROR] ") if printed else f"exit status {done.returncode}"
        )
        raise BrokerError(
            f"Maven could not fetch Apache Kafka; check its access to a repository: {reason[:300]}"
        )
