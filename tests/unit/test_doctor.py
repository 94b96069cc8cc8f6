"""`triage doctor`: it finds the problems that would stop a worker."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from inference.acceptance.options import Terms
from inference.egress.options import EgressOptions, EgressRule
from inference.llm.options import EndpointOptions
from inference.rules.options import Rule
from streams import doctor
from streams.config import DomainsSection, KafkaSection, ModelSection, Settings
from streams.doctor import Finding, examine
from streams.local.brokers.loopback import free_ports
from tests.llm_server import LlmServer, error, ok
from tests.llm_tier import configured, endpoint


def settings(model: Path, *endpoints: EndpointOptions, **tables: Any) -> Settings:
    """Settings with a broker that is not there, a tiny model and these endpoints."""
    kafka = KafkaSection(bootstrap_servers=f"127.0.0.1:{free_ports(1)[0]}")
    base = Settings(kafka=kafka, model=ModelSection(path=str(model), replicas=1), **tables)
    return configured(*endpoints, settings=base)


async def findings(examined: Settings, subjects: Sequence[str]) -> list[Finding]:
    """The findings about these subjects, in the order of `subjects`."""
    by_subject = {finding.subject: finding async for finding in examine(examined)}
    return [by_subject[subject] for subject in subjects]


async def test_each_endpoint_gets_one_prompt(tiny_model: Path) -> None:
    """An endpoint that cannot answer would be reported as healthy, and fail on the first event."""
    async with LlmServer(ok()) as sound, LlmServer(error(404, "model_not_found")) as broken:
        examined = settings(tiny_model, endpoint(sound.base_url), endpoint(broken.base_url))
        good, bad = await findings(examined, ["llm tier-0", "llm tier-1"])
    assert (good.healthy, bad.healthy) == (True, False)
    assert good.detail.startswith("served answers at")
    assert "base_url and model" in bad.detail
    assert len(sound.requests) == 1


@pytest.mark.parametrize("source", ["api_key_env", "api_key_file"])
async def test_a_missing_key_is_named(tiny_model: Path, tmp_path: Path, source: str) -> None:
    """A missing key would be noticed only by the worker, or "none" would be sent as the key."""
    key_name = str(tmp_path / "no-such-key")
    (finding,) = await findings(
        settings(tiny_model, endpoint("http://127.0.0.1:9", **{source: key_name})), ["llm tier-0"]
    )
    assert not finding.healthy
    assert f"llm.endpoints.tier-0.{source}" in finding.detail


async def test_rules_and_policy_are_checked_against_the_model(tiny_model: Path) -> None:
    """A rule about a label that the model never gives would suppress or protect nothing."""
    rule = Rule(name="r", when='labels.colour == "red"', review=True)
    egress = EgressOptions(rules=[EgressRule(policy="never", labels={"queue": ["no-such-queue"]})])
    for finding in await findings(
        settings(tiny_model, rules=[rule], egress=egress), ["rules", "egress"]
    ):
        assert not finding.healthy
        assert "\n" not in finding.detail
    for finding in await findings(settings(tiny_model), ["rules", "egress"]):
        assert finding.healthy


@pytest.mark.parametrize(
    "problems", [[], ["triage.alerts.v1 is missing", "triage.audit.v1 keeps too little"]]
)
async def test_each_problem_of_the_topics_is_a_finding(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch, problems: list[str]
) -> None:
    """A topic that is missing would be noticed only by the worker."""

    async def check_topics(_: Settings) -> list[str]:
        return problems

    monkeypatch.setattr(doctor, "check_topics", check_topics)
    found = [finding async for finding in examine(settings(tiny_model))]
    broker, *topics = [finding for finding in found if finding.subject in ("broker", "topics")]
    assert broker.healthy
    if problems:
        assert topics == [Finding("topics", False, problem) for problem in problems]
    else:
        assert topics == [Finding("topics", True, "all there under the prefix triage")]


async def test_a_model_that_is_not_there_is_one_finding(tmp_path: Path) -> None:
    """The examination would end in a traceback, and the LLM would not be examined."""
    found = [finding async for finding in examine(settings(tmp_path / "none"))]
    healthy = {finding.subject: finding.healthy for finding in found}
    assert healthy == {
        "broker": False,
        "model": False,
        "trust": True,
        "console": True,
        "llm": True,
    }
    assert str(tmp_path / "none") in found[1].detail


async def test_a_domain_that_accepts_nothing_is_a_finding(tiny_model: Path) -> None:
    """Each alert would go to the LLM, and the bill would be the first sign of it."""
    strict = DomainsSection(alerts=Terms(alpha=0.0001))
    alerts, tickets = await findings(
        settings(tiny_model, domains=strict), ["calibration of alerts", "calibration of tickets"]
    )
    assert (alerts.healthy, tickets.healthy) == (False, True)
    assert "at most 0.0001 errors" in alerts.detail
    assert "accepts about" in tickets.detail
