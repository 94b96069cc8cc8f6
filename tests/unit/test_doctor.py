"""`triage doctor`: what it finds before a worker does."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from inference.egress.options import EgressOptions, EgressRule
from inference.llm.options import EndpointOptions
from inference.rules.ruling import Rule
from streams.config import KafkaSection, ModelSection, Settings
from streams.doctor import Finding, examine
from streams.local.brokers.loopback import free_ports
from tests.llm_server import LlmServer, error, ok
from tests.llm_tier import configured, endpoint


def settings(model: Path, *endpoints: EndpointOptions, **tables: Any) -> Settings:
    """A configuration with no broker, a tiny model and these endpoints."""
    nowhere = KafkaSection(bootstrap_servers=f"127.0.0.1:{free_ports(1)[0]}")
    given = Settings(kafka=nowhere, model=ModelSection(path=str(model), replicas=1), **tables)
    return configured(*endpoints, settings=given)


async def findings(given: Settings, subjects: Sequence[str]) -> list[Finding]:
    """What it finds about these, in their order."""
    found = {finding.subject: finding async for finding in examine(given)}
    return [found[subject] for subject in subjects]


async def test_an_endpoint_is_asked_a_question(tiny_model: Path) -> None:
    """A list of models would be proof enough, and the worker fail on the first event."""
    async with LlmServer(ok()) as sound, LlmServer(error(404, "model_not_found")) as broken:
        given = settings(tiny_model, endpoint(sound.base_url), endpoint(broken.base_url))
        good, bad = await findings(given, ["llm tier-0", "llm tier-1"])
    assert (good.healthy, bad.healthy) == (True, False)
    assert good.detail.startswith("served answers at")
    assert "base_url and model" in bad.detail
    assert len(sound.requests) == 1


@pytest.mark.parametrize("source", ["api_key_env", "api_key_file"])
async def test_a_key_that_is_missing_is_named(
    tiny_model: Path, tmp_path: Path, source: str
) -> None:
    """The worker would be the one to find out, or the service would see `none` for a key."""
    named = str(tmp_path / "TRIAGE_NO_SUCH_KEY")
    (found,) = await findings(
        settings(tiny_model, endpoint("http://127.0.0.1:9", **{source: named})), ["llm tier-0"]
    )
    assert not found.healthy
    assert named in found.detail


async def test_rules_and_policy_are_held_against_the_model(tiny_model: Path) -> None:
    """A rule about a label no model gives would suppress nothing, or protect nothing."""
    rule = Rule(name="r", when='labels.colour == "red"', review=True)
    egress = EgressOptions(rules=[EgressRule(policy="never", labels={"queue": ["no-such-queue"]})])
    for finding in await findings(
        settings(tiny_model, rules=[rule], egress=egress), ["rules", "egress"]
    ):
        assert not finding.healthy
        assert "\n" not in finding.detail
    for finding in await findings(settings(tiny_model), ["rules", "egress"]):
        assert finding.healthy
