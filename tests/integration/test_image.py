"""The container image: it is built, and the program runs inside as the user of the image."""

import asyncio
import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer

from streams.local.brokers import Broker

pytestmark = [pytest.mark.image, pytest.mark.timeout(900)]

ROOT = Path(__file__).parents[2]
NAME = "triage:under-test"
UID = 10001
BUILD_TIMEOUT_S = 800
READY_TIMEOUT_S = 90
DRAIN_TIMEOUT_S = 15
# With chroot isolation, buildah shares the network of the host, so that 127.0.0.1 is the broker's.
# Docker and podman have an option for the same.
ENVIRON = {"BUILDAH_ISOLATION": "chroot", **os.environ}


def sh(*command: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command and wait for its end."""
    return subprocess.run(
        command,
        input=stdin,
        env=ENVIRON,
        capture_output=True,
        text=True,
        timeout=BUILD_TIMEOUT_S,
        check=False,
    )


@dataclass
class Image:
    """The image and, with buildah, the container that was made from it."""

    builder: str
    container: str = ""

    def argv(self, *command: str, name: str = "", **environ: str) -> list[str]:
        """The command line that runs `command` inside, as the user of the image."""
        settings = [word for key, value in environ.items() for word in ("--env", f"{key}={value}")]
        if self.builder == "buildah":
            return ["buildah", "run", *settings, self.container, "--", *command]
        named = ["--name", name] if name else []
        options = ["run", "--rm", "--interactive", "--network", "host", *named, *settings]
        return [self.builder, *options, "--entrypoint", command[0], NAME, *command[1:]]

    def run(
        self, *command: str, stdin: str | None = None, **environ: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a command inside and wait for its end."""
        return sh(*self.argv(*command, **environ), stdin=stdin)

    def config(self) -> dict[str, Any]:
        """The configuration in the image: user, entry point, ports and so on."""
        if self.builder == "buildah":
            inspected = json.loads(sh("buildah", "inspect", "--type", "image", NAME).stdout)
            return dict(inspected["Docker"]["config"])
        inspected = json.loads(sh(self.builder, "image", "inspect", NAME).stdout)
        return dict(inspected[0]["Config"])

    def size(self) -> str:
        """The size of the image, for a person."""
        return sh(self.builder, "images", "--format", "{{.Size}}", NAME).stdout.strip()

    def signal(
        self, process: subprocess.Popen[str], name: str, number: signal.Signals = signal.SIGTERM
    ) -> None:
        """Send a signal to the program itself.

        `buildah run` does not forward a SIGTERM; it kills the program.
        """
        if self.builder == "buildah":
            os.kill(own_process(process.pid), number)
        else:
            sh(self.builder, "kill", "--signal", number.name, name)


def own_process(ancestor: int) -> int:
    """The id of the program's process, which is a descendant of `ancestor`.

    It runs as the user of the image. So does the launcher of buildah, but that one runs from a
    memfd.
    """
    parents: dict[int, int] = {}
    candidates: list[int] = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            status = (place / "status").read_text()
            program = (place / "exe").readlink().as_posix()
        except OSError:  # the process has ended, or it belongs to the kernel
            continue
        fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
        parents[int(place.name)] = int(fields["PPid"])
        if int(fields["Uid"].split()[0]) == UID and not program.startswith("/memfd:"):
            candidates.append(int(place.name))
    for candidate in sorted(candidates):
        above = candidate
        while above in parents and above != ancestor:
            above = parents[above]
        if above == ancestor:
            return candidate
    raise AssertionError(f"nothing below {ancestor} runs as user {UID}")


def unavailable(reason: str) -> None:
    """Skip the test, but in CI let it fail."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason.splitlines()[-1])


@pytest.fixture(scope="module")
def image() -> Iterator[Image]:
    """Build the image with the builder that is installed, and remove it at the end."""
    started_s = time.monotonic()
    ENVIRON["IMAGE"] = NAME
    done = sh(str(ROOT / "docker" / "build"))
    output = done.stdout + done.stderr
    builder = re.match(r"building \S+ with (\w+)\n", done.stdout)
    if builder is None:
        unavailable(output)
    elif done.returncode != 0 and not re.search(r"(STEP \d+/\d+:|\]) RUN", output):
        unavailable(f"{output}\nthe base image cannot be downloaded here")
    assert done.returncode == 0, output[-4000:]
    assert builder is not None
    built = Image(builder[1])
    if built.builder == "buildah":
        built.container = sh("buildah", "from", "--pull-never", NAME).stdout.strip()
        assert built.container
    took_s = time.monotonic() - started_s
    print(f"\nimage {built.size()}, built by {built.builder} in {took_s:.0f} s")
    yield built
    if built.container:
        sh("buildah", "rm", built.container)
    sh(built.builder, "rmi", NAME)


@pytest.fixture
def samples() -> str:
    """Five of the shipped alerts in the native format, where the test can read the id."""
    text = (ROOT / "streams" / "samples" / "alerts.ndjson").read_text(encoding="utf-8")
    native = [line for line in text.splitlines() if line.startswith('{"id":')]
    return "\n".join(native[:5]) + "\n"


def test_image_says_how_to_run_it(image: Image) -> None:
    """`docker run triage` would start something else, run as root, or hang unnoticed."""
    config = image.config()
    assert config["User"] == f"{UID}:{UID}"
    assert config["Entrypoint"] == ["triage"]
    assert config["Cmd"] == ["worker"]
    assert config["StopSignal"] == "SIGTERM"
    assert "9464/tcp" in config["ExposedPorts"]
    assert "/live" in config["Healthcheck"]["Test"][-1]


def test_image_has_no_settings_of_pip(image: Image) -> None:
    """The image would publish an index address or a credential of the builder."""
    config = json.dumps(image.config())
    assert "PIP_" not in config
    assert image.run("sh", "-c", "env | grep -c ^PIP_").stdout.strip() == "0"


def test_user_inside_has_no_rights(image: Image) -> None:
    """An attacker of the worker could change the program, or install others."""
    program = (
        "import json, os, shutil; print(json.dumps({'uid': os.getuid(), 'gid': os.getgid(),"
        " 'writable': [p for p in ('.', '/', '/opt/triage', '/opt/triage/bin', '/etc')"
        " if os.access(p, os.W_OK)],"
        " 'tools': [t for t in ('pip', 'gcc', 'curl', 'git', 'mypy', 'pytest') if shutil.which(t)]"
        "}))"
    )
    done = image.run("/opt/triage/bin/python", "-c", program)
    rights = json.loads(done.stdout)
    tools = rights.pop("tools")
    assert rights == {"uid": UID, "gid": UID, "writable": []}
    # The official base image has a pip. It belongs to another interpreter and can write nothing.
    assert set(tools) <= {"pip"}


def test_classify_inside_triages_samples(image: Image, samples: str) -> None:
    """The model would not be in the image, or its user could not load it."""
    done = image.run("triage", "classify", "--domain", "alerts", "-", stdin=samples)
    assert done.returncode == 0, done.stderr
    events = [json.loads(line) for line in done.stdout.splitlines()]
    ids = [json.loads(line)["id"] for line in samples.splitlines()]
    assert [event["id"] for event in events] == ids
    assert all(event["labels"]["queue"]["value"] for event in events)


def test_packages_inside_are_ours(image: Image) -> None:
    """A `schemas` or `agents` of another distribution would hide ours."""
    program = (
        "import schemas, inference, agents, streams as s;"
        " packages = (schemas, inference, agents, s);"
        " print(*{package.__path__[0].rpartition('/')[0] for package in packages})"
    )
    done = image.run("python", "-c", program)
    assert re.fullmatch(r"/opt/triage/lib/python3\.\d+/site-packages", done.stdout.strip()), (
        done.stderr
    )


@pytest.mark.broker
async def test_worker_inside_triages_and_drains(
    image: Image, broker: Broker, samples: str, tmp_path: Path
) -> None:
    """The worker would not run in the container, or `docker stop` would have to kill it."""
    name = f"triage-{uuid.uuid4().hex[:8]}"
    port = free_port()
    environ = {
        "TRIAGE_KAFKA__BOOTSTRAP_SERVERS": broker.bootstrap_servers,
        "TRIAGE_KAFKA__GROUP_ID": name,
        "TRIAGE_TOPICS__PREFIX": name,
        "TRIAGE_HTTP__PORT": str(port),
        "TRIAGE_HTTP__TOKEN_ENV": "SCRAPE_TOKEN",
        "SCRAPE_TOKEN": "scrape-me",
    }
    created = image.run("triage", "topics", "create", **environ)
    assert created.returncode == 0, created.stderr
    with (tmp_path / "worker.log").open("w+") as log:
        worker = subprocess.Popen(
            image.argv("triage", "worker", name=name, **environ),
            env=ENVIRON,
            stdout=log,
            stderr=log,
            text=True,
        )
        try:
            await wait_until_ready(worker, port)
            sent = image.run("triage", "send", "-", "--domain", "alerts", stdin=samples, **environ)
            assert sent.returncode == 0, sent.stderr
            ids = {json.loads(line)["id"] for line in samples.splitlines()}
            assert await triaged_ids(broker, f"{name}.alerts.triaged.v1", len(ids)) == ids
            assert image.run(*image.config()["Healthcheck"]["Test"][1:], **environ).returncode == 0
            image.signal(worker, name)
            assert worker.wait(DRAIN_TIMEOUT_S) == 0
        except BaseException:
            log.seek(0)
            print(log.read()[-8000:])
            raise
        finally:
            await asyncio.to_thread(stop, image, worker, name)


def free_port() -> int:
    """A port of loopback that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def stop(image: Image, worker: subprocess.Popen[str], name: str) -> None:
    """End the worker if it still runs."""
    if worker.poll() is None:
        with contextlib.suppress(AssertionError):  # the worker has ended in the meantime
            image.signal(worker, name, signal.SIGKILL)
        worker.wait(DRAIN_TIMEOUT_S)


async def wait_until_ready(worker: subprocess.Popen[str], port: int) -> None:
    """Wait until the worker has a model and its partitions."""
    deadline = time.monotonic() + READY_TIMEOUT_S
    while time.monotonic() < deadline:
        assert worker.poll() is None, "the worker ended before it was ready"
        if await asyncio.to_thread(answers, f"http://127.0.0.1:{port}/ready"):
            return
        await asyncio.sleep(0.5)
    pytest.fail(f"the worker was not ready within {READY_TIMEOUT_S} s")


def answers(url: str) -> bool:
    """Whether the address answers with status 200."""
    try:
        with urllib.request.urlopen(url, timeout=2) as response:  # noqa: S310 - our own worker
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False


async def triaged_ids(broker: Broker, topic: str, count: int) -> set[str]:
    """The ids of the first `count` outputs. They must arrive within a minute."""
    consumer = AIOKafkaConsumer(
        topic, bootstrap_servers=broker.bootstrap_servers, auto_offset_reset="earliest"
    )
    await consumer.start()
    ids: set[str] = set()
    try:
        async with asyncio.timeout(60):
            while len(ids) < count:
                record = await consumer.getone()
                ids.add(json.loads(record.value)["id"])
    finally:
        await consumer.stop()
    return ids
