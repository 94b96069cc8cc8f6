"""The local brokers, without running one: properties, the cache of jars, and server processes."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner

from streams.cli import broker as command
from streams.cli.broker import broker
from streams.errors import BrokerError
from streams.local.brokers import Broker, java
from streams.local.brokers.embedded import EmbeddedBroker
from streams.local.brokers.kafka import KafkaCluster
from streams.local.brokers.loopback import HOST, free_ports, require_free
from streams.local.brokers.process import Server
from streams.local.brokers.properties import Node, server_properties

MVN = """#!/bin/sh
echo run >> "{calls}"
for argument; do case "$argument" in -DoutputDirectory=*) out="${{argument#*=}}";; esac; done
mkdir -p "$out" && touch "$out/kafka_2.13-4.1.0.jar"
{last}
"""


@pytest.fixture
def fake_mvn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Put a Maven on the PATH that makes one jar and ends with a given line.

    Gives a function that does so and returns the file in which Maven notes its calls.
    """

    def put(last: str = "exit 0") -> Path:
        calls, bin_dir = tmp_path / "calls", tmp_path / "bin"
        bin_dir.mkdir(exist_ok=True)
        (bin_dir / "mvn").write_text(MVN.format(calls=calls, last=last))
        (bin_dir / "mvn").chmod(0o755)
        monkeypatch.setenv("PATH", f"{bin_dir}:{os.environ['PATH']}")
        return calls

    return put


@contextmanager
def _listening() -> Iterator[int]:
    with socket.create_server((HOST, 0)) as server:
        yield int(server.getsockname()[1])


def _is_gone(group: int) -> bool:
    """Whether no process of that group is alive; a zombie counts as dead."""
    listed = subprocess.run(
        ["ps", "-eo", "pgid=,stat="], capture_output=True, text=True, check=True
    ).stdout
    return not any(
        int(line.split()[0]) == group and "Z" not in line for line in listed.splitlines()
    )


def _until(condition: Callable[[], object], timeout_s: float = 10) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def nodes(count: int, root: Path = Path("/data")) -> list[Node]:
    """`count` nodes, with ports and directories as a cluster chooses them."""
    return [Node(n, 20_000 + n, 21_000 + n, root / f"node-{n}") for n in range(1, count + 1)]


def parsed(text: str) -> dict[str, str]:
    """Parse a properties file."""
    return dict(line.split("=", 1) for line in text.splitlines())


@pytest.mark.parametrize(("count", "copies", "in_sync"), [(1, "1", "1"), (3, "3", "2")])
def test_replication_depends_on_the_nodes(count: int, copies: str, in_sync: str) -> None:
    """Three nodes would lose events with one node, or a single node would wait for copies."""
    settings = parsed(server_properties(nodes(count)[0], nodes(count)))
    assert (
        settings["default.replication.factor"]
        == settings["offsets.topic.replication.factor"]
        == copies
    )
    assert settings["min.insync.replicas"] == settings["transaction.state.log.min.isr"] == in_sync
    assert settings["controller.quorum.voters"].count(HOST) == count
    assert settings["auto.create.topics.enable"] == "false"


def test_every_address_is_loopback() -> None:
    """A broker without authentication would be open to the network."""
    settings = parsed(server_properties(nodes(3)[1], nodes(3)))
    for key in ("listeners", "advertised.listeners"):
        assert all(f"//{HOST}:" in listener for listener in settings[key].split(","))


def test_a_path_survives_the_properties_file() -> None:
    """Kafka would write to a wrong directory if its name has letters outside ASCII."""
    node = nodes(1, Path("/d\u00e4ta\\x y"))[0]
    assert parsed(server_properties(node, [node]))["log.dirs"] == r"/d\u00e4ta\\x y/node-1/data"


def test_jars_are_fetched_once(tmp_path: Path, fake_mvn: Callable[[str], Path]) -> None:
    """Every start would download 54 MB."""
    calls = fake_mvn("exit 0")
    assert java.fetch_jars(tmp_path / "cache") == java.fetch_jars(tmp_path / "cache")
    assert (java.home_of(tmp_path / "cache") / "libs" / "kafka_2.13-4.1.0.jar").exists()
    assert calls.read_text() == "run\n"


def test_a_failed_fetch_leaves_no_cache(tmp_path: Path, fake_mvn: Callable[[str], Path]) -> None:
    """A half-filled cache would be trusted from then on."""
    fake_mvn("echo '[ERROR] no route to the repository'; exit 1")
    with pytest.raises(BrokerError, match="no route to the repository"):
        java.fetch_jars(tmp_path / "cache")
    assert not java.is_cached(tmp_path / "cache")
    assert list((tmp_path / "cache").glob("*partial*")) == []


def test_an_interrupted_fetch_is_removed_and_repeated(
    tmp_path: Path, fake_mvn: Callable[[str], Path]
) -> None:
    """The incomplete files of a killed process would be used, or fill the disk."""
    fake_mvn("exit 0")
    incomplete = tmp_path / "cache" / "kafka-4.1.0.partial-x" / "libs"
    incomplete.mkdir(parents=True)
    java.fetch_jars(tmp_path / "cache")
    assert not incomplete.exists()


def test_another_pom_makes_the_cache_stale(tmp_path: Path, fake_mvn: Callable[[str], Path]) -> None:
    """A machine with the old jars would never fetch a changed dependency."""
    calls = fake_mvn("exit 0")
    java.fetch_jars(tmp_path / "cache")
    (java.home_of(tmp_path / "cache") / java.POM.name).write_text("<project/>")
    assert not java.is_cached(tmp_path / "cache")
    java.fetch_jars(tmp_path / "cache")
    assert calls.read_text() == "run\nrun\n"


@pytest.mark.parametrize(
    ("printed", "message"),
    [('openjdk version "11.0.2"', "Java 11 is too old"), ("what?", "there is no Java")],
)
def test_an_unsuitable_java_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, printed: str, message: str
) -> None:
    """A user would see a stack trace of the JVM, and not what to install."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "java").write_text(f"#!/bin/sh\necho '{printed}' >&2\n")
    (tmp_path / "bin" / "java").chmod(0o755)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    assert message in str(java.kafka_available(tmp_path))


def test_a_port_in_use_is_named() -> None:
    """A second broker on the same port would end with an error that is hard to understand."""
    with pytest.raises(BrokerError, match="in use"), _listening() as port:
        require_free([port])


def test_ports_are_known_before_the_start() -> None:
    """A worker that is configured before the broker starts would have no address."""
    ports = free_ports(2)
    assert len(set(ports)) == 2
    assert KafkaCluster(3, ports[0]).bootstrap_servers.split(",")[2] == f"{HOST}:{ports[0] + 2}"
    assert EmbeddedBroker(ports[0]).bootstrap_servers == f"{HOST}:{ports[0]}"


def test_the_reason_of_a_server_that_ends_is_reported(tmp_path: Path) -> None:
    """A broker that fails at its start would cost the whole timeout, and its reason be lost."""
    server = Server(
        "the thing", ["/bin/sh", "-c", "echo no such luck; exit 3"], log=tmp_path / "log"
    )
    server.start()
    with pytest.raises(BrokerError, match=r"the thing ended with status 3.*no such luck"):
        _until(server.require_running)
    server.stop(1)
    server.require_running()


def test_a_server_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    """`stop` would never return."""
    code = (
        "import signal, time;"
        "signal.signal(15, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
    )
    server = Server("stubborn", [sys.executable, "-c", code], log=tmp_path / "log")
    server.start()
    group = server.process_group
    _until(lambda: "up" in server.last_words())
    server.stop(0.2)
    assert not server.running
    assert group is not None
    _until(lambda: _is_gone(group))


def test_a_server_ends_if_its_starter_is_killed(tmp_path: Path) -> None:
    """A test run or a demo that is killed would leave brokers and their files behind."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    code = (
        "import sys, time; from pathlib import Path;"
        "from streams.local.brokers.process import Server; d = Path(sys.argv[1]);"
        "s = Server('s', ['/bin/sleep', '60'], log=d / 'log', scratch=d); s.start();"
        "print(s.process_group, flush=True); time.sleep(60)"
    )
    starter = subprocess.Popen(
        [sys.executable, "-c", code, str(scratch)], stdout=subprocess.PIPE, text=True
    )
    assert starter.stdout is not None
    group = int(starter.stdout.readline())
    starter.send_signal(signal.SIGKILL)
    starter.communicate()
    _until(lambda: _is_gone(group) and not scratch.exists())


def test_options_that_do_not_fit_the_engine_are_refused() -> None:
    """A user would believe that `--data-dir` keeps the data of the embedded broker."""
    result = CliRunner().invoke(broker, ["--data-dir", "/anywhere"])
    assert (result.exit_code, "--engine kafka" in result.output) == (2, True)


def test_the_command_reports_an_error_in_one_line() -> None:
    """A port in use would end in a traceback."""
    with _listening() as port:
        result = CliRunner().invoke(broker, ["--port", str(port)])
    assert (result.exit_code, result.output.count("\n")) == (1, 1)
    assert f"port {port}" in result.output


class Ending(Broker):
    """A broker that calls `end` the third time that somebody looks whether it runs."""

    def __init__(self, end: Callable[[], None]) -> None:
        self.history: list[str] = []
        self._end = end

    @property
    def title(self) -> str:
        """A name that no other broker has."""
        return "a broker that ends"

    @property
    def bootstrap_servers(self) -> str:
        """An address."""
        return f"{HOST}:12345"

    def start(self) -> None:
        """Note the start."""
        self.history.append("started")

    def stop(self) -> None:
        """Note the end."""
        self.history.append("stopped")

    def require_running(self) -> None:
        """Note the look, and end after the third."""
        self.history.append("looked")
        if self.history.count("looked") == 3:
            self._end()


@pytest.fixture
def embedded(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Callable[[], None]], Ending]]:
    """A function that makes the embedded broker one that ends in a given way."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    monkeypatch.setattr(command, "POLL_S", 0.0)

    def use(end: Callable[[], None]) -> Ending:
        ending = Ending(end)
        monkeypatch.setattr(command, "EmbeddedBroker", lambda _: ending)
        return ending

    yield use
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_broker_runs_until_a_signal(
    embedded: Callable[[Callable[[], None]], Ending], number: signal.Signals
) -> None:
    """The broker would run on after Ctrl-C, or a service manager would see a failure."""
    ending = embedded(lambda: os.kill(os.getpid(), number))
    result = CliRunner().invoke(broker, [])
    assert (result.exit_code, result.stderr) == (0, "stopped\n")
    assert result.stdout.splitlines() == [
        f"a broker that ends on {HOST}:12345; Ctrl-C ends it",
        f"TRIAGE_KAFKA__BOOTSTRAP_SERVERS={HOST}:12345",
    ]
    assert ending.history == ["started", *["looked"] * 3, "stopped"]


def test_a_broker_that_ends_by_itself_is_an_error(
    embedded: Callable[[Callable[[], None]], Ending],
) -> None:
    """The command would wait for ever, and say nothing about the broker that is gone."""

    def fail() -> None:
        raise BrokerError("it ended with status 3: no such luck")

    ending = embedded(fail)
    result = CliRunner().invoke(broker, [])
    assert (result.exit_code, ending.history[-1]) == (1, "stopped")
    assert result.stderr == "Error: it ended with status 3: no such luck\n"


@pytest.mark.parametrize("is_cached", [False, True])
def test_the_download_of_kafka_is_announced(
    tmp_path: Path,
    fake_mvn: Callable[[str], Path],
    monkeypatch: pytest.MonkeyPatch,
    is_cached: bool,
) -> None:
    """A user would wait for 54 MB without knowing why, or be told of a download that is not."""
    cache = tmp_path / "cache"
    if is_cached:
        fake_mvn("exit 0")
        java.fetch_jars(cache)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "no java"))
    arguments = ["--engine", "kafka", "--brokers", "3", "--cache-dir", str(cache)]
    result = CliRunner().invoke(broker, arguments)
    assert result.exit_code == 1
    assert ("fetching Apache Kafka" in result.stderr) == (not is_cached)
    assert "there is no Java" in result.stderr
