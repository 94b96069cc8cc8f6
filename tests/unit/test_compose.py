"""The files of docker/: the compose file, the configuration of Prometheus and the alerts."""

import asyncio
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.metrics import MetricWrapperBase

from streams.config import ConsoleSection, load
from streams.console.check import check_console
from streams.console.people import Person
from streams.console.web_server import WebServer
from streams.metrics import Metrics
from tests.console_client import write_people
from tests.console_world import World

DOCKER = Path(__file__).parents[2] / "docker"
DRAIN_S = 10
SECRETS = ("metrics-token", "console-token", "console-people.toml")
SERVICES = ("kafka", "topics", "worker", "console", "prometheus", "grafana")
TRIAGE_SERVICES = ("topics", "worker", "console")


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    """The services of the compose file, by name."""
    return dict(yaml.safe_load((DOCKER / "compose.yaml").read_text())["services"])


def missing(tool: str) -> None:
    """Skip the test if the tool is missing; fail in CI, where it should be installed."""
    message = f"{tool} is not installed"
    if os.environ.get("CI") == "true":
        pytest.fail(message)
    pytest.skip(message)


def run(*command: str) -> None:
    """Run a checker; show its output if it fails."""
    done = subprocess.run(
        command, cwd=DOCKER.parent, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def run_promtool(*arguments: str) -> None:
    """Run promtool, if it is installed."""
    if not shutil.which("promtool"):
        missing("promtool")
    run("promtool", *arguments)


def exposed() -> dict[str, set[str]]:
    """The name of every series that a worker exposes, with its labels."""
    series: dict[str, set[str]] = {}
    for metric in vars(Metrics()).values():
        if not isinstance(metric, MetricWrapperBase):
            continue
        labels, (family,) = set(metric._labelnames), metric.describe()
        if family.type == "counter":
            series[f"{family.name}_total"] = labels
        elif family.type == "histogram":
            series |= {f"{family.name}_{part}": labels for part in ("sum", "count")}
            series[f"{family.name}_bucket"] = labels | {"le"}
        else:
            series[family.name] = labels
    return series


def test_services_are_the_known_ones(services: dict[str, Any]) -> None:
    """The tests below would not check a new service."""
    assert set(services) == set(SERVICES)


@pytest.mark.parametrize("name", SERVICES)
def test_ports_are_published_on_loopback_only(services: dict[str, Any], name: str) -> None:
    """Kafka without authentication would be open to the network."""
    assert all(port.startswith("127.0.0.1:") for port in services[name].get("ports", []))


@pytest.mark.parametrize("name", SERVICES)
def test_services_have_no_privileges(services: dict[str, Any], name: str) -> None:
    """An attacker who controls a service could use its privileges on the host."""
    service = services[name]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not {"privileged", "cap_add", "devices", "network_mode", "pid", "user"} & set(service)


@pytest.mark.parametrize("name", TRIAGE_SERVICES)
def test_triage_services_write_to_tmp_only(services: dict[str, Any], name: str) -> None:
    """The worker could keep state in its container without anybody noticing it."""
    assert services[name]["read_only"] is True
    assert services[name]["tmpfs"] == ["/tmp"]  # noqa: S108  a mount point in the container
    kept = {"console": ["console-data:/var/lib/triage"]}
    assert services[name].get("volumes", []) == kept.get(name, [])


@pytest.mark.parametrize("name", ["kafka", "worker", "console", "prometheus", "grafana"])
def test_services_are_restarted(services: dict[str, Any], name: str) -> None:
    """A worker that stopped because the broker refused its outputs would stay stopped."""
    assert services[name]["restart"] == "unless-stopped"


@pytest.mark.parametrize("name", ["kafka", "prometheus", "grafana"])
def test_other_images_are_pinned_and_have_a_health_check(
    services: dict[str, Any], name: str
) -> None:
    """An image would change without notice, or a service be used before it answers."""
    assert re.search(r":v?\d+\.\d+\.\d+$", services[name]["image"])
    assert services[name]["healthcheck"]["test"]


def test_worker_waits_for_topics_and_topics_for_kafka(services: dict[str, Any]) -> None:
    """The worker would start before its topics exist."""
    assert services["topics"]["depends_on"]["kafka"]["condition"] == "service_healthy"
    assert (
        services["worker"]["depends_on"]["topics"]["condition"] == "service_completed_successfully"
    )
    assert services["topics"]["restart"] == "no"


def test_worker_has_time_to_drain(services: dict[str, Any]) -> None:
    """The worker would be killed while it drains."""
    assert int(services["worker"]["stop_grace_period"].removesuffix("s")) > DRAIN_S


def test_a_mistyped_topic_is_not_created(services: dict[str, Any]) -> None:
    """A mistyped prefix would silently create a topic that nobody reads."""
    assert services["kafka"]["environment"]["KAFKA_AUTO_CREATE_TOPICS_ENABLE"] == "false"


def test_the_metrics_port_is_the_same_everywhere(services: dict[str, Any]) -> None:
    """Prometheus would scrape a port on which no worker listens."""
    dockerfile = (DOCKER / "Dockerfile").read_text()
    scrape = yaml.safe_load((DOCKER / "prometheus.yml").read_text())["scrape_configs"][0][
        "dns_sd_configs"
    ][0]
    port = str(scrape["port"])
    assert scrape["names"] == ["worker"]
    assert f"EXPOSE {port}\n" in dockerfile
    assert f"TRIAGE_HTTP__PORT={port}\n" in dockerfile
    assert [p.rpartition(":")[2] for p in services["worker"]["ports"]] == [port]


def test_prometheus_shows_the_token_that_workers_ask_for(services: dict[str, Any]) -> None:
    """The workers would not start, or every scrape would be refused."""
    scrape = yaml.safe_load((DOCKER / "prometheus.yml").read_text())["scrape_configs"][0]
    document = yaml.safe_load((DOCKER / "compose.yaml").read_text())
    mounted = "/run/secrets/metrics-token"
    assert scrape["authorization"] == {"credentials_file": mounted}
    assert services["worker"]["environment"]["TRIAGE_HTTP__TOKEN_FILE"] == mounted
    assert services["worker"]["secrets"] == ["metrics-token"] == services["prometheus"]["secrets"]
    assert document["secrets"]["metrics-token"] == {"file": "./metrics-token"}


def test_the_token_is_made_once_and_is_not_in_the_repository(tmp_path: Path) -> None:
    """Everybody would have the same token, or a second build would lock Prometheus out."""
    script = shutil.copy(DOCKER / "make-token", tmp_path / "make-token")
    tokens = []
    for _ in range(2):
        run(str(script))
        tokens.append((tmp_path / "metrics-token").read_text())
    assert re.fullmatch("[0-9a-f]{64}", tokens[0])
    assert tokens[0] == tokens[1]
    assert (tmp_path / "metrics-token").stat().st_mode & 0o777 == 0o644
    ignored = (DOCKER.parent / ".gitignore").read_text().splitlines()
    assert {f"/docker/{name}" for name in SECRETS} <= set(ignored)
    assert "make-token" in (DOCKER.parent / "Makefile").read_text()


async def test_the_console_takes_the_token_that_was_made(
    services: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The console would not start, or its admin could not sign in."""
    run(str(shutil.copy(DOCKER / "make-token", tmp_path / "make-token")))
    token, people = tmp_path / "console-token", tmp_path / "console-people.toml"
    assert (token.stat().st_mode & 0o777, people.stat().st_mode & 0o777) == (0o600, 0o644)
    for key, value in services["console"]["environment"].items():
        monkeypatch.setenv(key, value.replace("/run/secrets/console-people", str(people)))
    settings = load()
    access = check_console(settings)
    admin = access.people.with_token(token.read_text())
    assert admin == Person("admin", "admin")
    assert services["console"]["secrets"] == ["console-people"]
    document = yaml.safe_load((DOCKER / "compose.yaml").read_text())
    assert document["secrets"]["console-people"] == {"file": "./console-people.toml"}
    port = settings.console.port
    assert services["console"]["ports"] == [f"127.0.0.1:{port}:{port}"]
    assert settings.console.public_url == f"http://127.0.0.1:{port}"
    assert str(settings.review.state).startswith("/var/lib/triage/")
    assert "/var/lib/triage\n" in (DOCKER / "Dockerfile").read_text()


async def test_the_health_check_of_the_console_finds_it_live(
    services: dict[str, Any], tmp_path: Path
) -> None:
    """The container would be called unhealthy as long as it runs, or healthy when it hangs."""
    check = services["console"]["healthcheck"]["test"]
    assert check[:3] == ["CMD", "python", "-c"]
    section = ConsoleSection(port=0, tokens_file=write_people(tmp_path))
    world = World(tmp_path, section)
    server = WebServer(section, world.app, world.connections)
    await server.start()
    try:
        there, gone = (check[3].replace("9470", str(port)) for port in (server.port, 1))
        for program, code in ((there, 0), (gone, 1)):
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-c", program, stderr=asyncio.subprocess.DEVNULL
            )
            assert await process.wait() == code
    finally:
        await server.stop()


def test_compose_starts_the_image_that_is_built(services: dict[str, Any]) -> None:
    """`make image` would build an image that compose does not start."""
    match = re.search(r"IMAGE:-([^}]+)}", (DOCKER / "build").read_text())
    assert match is not None
    assert {services[name]["image"] for name in TRIAGE_SERVICES} == {
        f"${{TRIAGE_IMAGE:-{match[1]}}}"
    }


def test_compose_accepts_the_file() -> None:
    """Docker compose would refuse the file."""
    with_plugin = shutil.which("docker") and not subprocess.call(
        ["docker", "compose", "version"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    if with_plugin:
        run("docker", "compose", "-f", "docker/compose.yaml", "config", "--quiet")
    elif shutil.which("docker-compose"):
        run("docker-compose", "-f", "docker/compose.yaml", "config", "--quiet")
    else:
        missing("docker compose")


@pytest.mark.parametrize(
    "arguments",
    # Only the syntax: the file with the token exists in the container.
    [
        ("check", "config", "--syntax-only", "docker/prometheus.yml"),
        ("test", "rules", "docker/alerts.test.yml"),
    ],
)
def test_prometheus_accepts_its_files(arguments: tuple[str, ...]) -> None:
    """Prometheus would not start, or an alert would fire too often or never."""
    run_promtool(*arguments)


METRIC = re.compile(r"\btriage_\w+")


def rules() -> list[dict[str, Any]]:
    """The rules of every alert."""
    groups = yaml.safe_load((DOCKER / "alerts.rules.yml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def rule_tests() -> list[dict[str, Any]]:
    """The cases that promtool tests the alerts on."""
    return list(yaml.safe_load((DOCKER / "alerts.test.yml").read_text())["tests"])


def test_alerts_watch_metrics_that_exist() -> None:
    """An alert on a renamed metric would never fire."""
    used = {name for rule in rules() for name in METRIC.findall(rule["expr"])}
    assert used
    assert used <= set(exposed())


def test_every_alert_is_seen_to_fire() -> None:
    """An alert whose expression is never true would call nobody."""
    expected = yaml.safe_dump([each.get("promql_expr_test") for each in rule_tests()])
    fired = set(re.findall(r'alertname="(\w+)"', expected))
    fired |= {
        each["alertname"]
        for test in rule_tests()
        for each in test.get("alert_rule_test", [])
        if each["exp_alerts"]
    }
    assert fired == {rule["alert"] for rule in rules()}


def test_every_alert_is_seen_to_be_silent() -> None:
    """An alert that always fires would pass: the case of a healthy worker has no series of its."""
    healthy = rule_tests()[0]
    assert healthy["promql_expr_test"] == [
        {"expr": "ALERTS", "eval_time": "30m", "exp_samples": []}
    ]
    series = {METRIC.findall(each["series"])[0] for each in healthy["input_series"][2:]}
    assert series >= {name for rule in rules() for name in METRIC.findall(rule["expr"])}
