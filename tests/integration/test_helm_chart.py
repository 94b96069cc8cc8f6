"""The Helm chart: rendered by Helm, and held to the schemas of Kubernetes and of KEDA."""

import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from streams.config import load
from tests import helm
from tests.helm import Manifest

CHART = Path(__file__).parents[2] / "docker" / "helm" / "triage"
VALUES = [[], *([file] for file in sorted((CHART / "ci").glob("*.yaml")))]
DRAIN_S = 10

# The first test fetches Helm, which takes minutes on a busy machine.
pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module", autouse=True)
def _needs_helm() -> None:
    """Skip without Helm; fail in CI, where it can be fetched."""
    missing = helm.why_no_helm()
    if missing and os.environ.get("CI") == "true":
        pytest.fail(missing)
    if missing:
        pytest.skip(missing)


@pytest.fixture(scope="module", params=VALUES, ids=lambda files: files[0].stem if files else "-")
def manifests(request: pytest.FixtureRequest) -> list[Manifest]:
    """What the chart renders to, with one of the files of values."""
    return helm.render(CHART, *request.param)


def kinds(manifests: list[Manifest], *wanted: str) -> list[Manifest]:
    """The manifests of these kinds."""
    return [each for each in manifests if each["kind"] in wanted]


def pods(manifests: list[Manifest]) -> list[Any]:
    """The specifications of all pods."""
    workloads = kinds(manifests, "Deployment", "StatefulSet", "Job")
    return [each["spec"]["template"]["spec"] for each in workloads]


def everything() -> list[Manifest]:
    """The chart with everything on."""
    return helm.render(CHART, CHART / "ci" / "everything-values.yaml")


def given(tmp_path: Path, **values: Any) -> list[Manifest]:
    """The chart with these values."""
    file = tmp_path / "values.yaml"
    file.write_text(yaml.safe_dump(values))
    return helm.render(CHART, file)


def test_helm_finds_nothing_to_complain_about() -> None:
    """A chart that `helm lint` refuses is not taken by registries of charts."""
    helm.lint(CHART)


def test_every_manifest_is_one_of_kubernetes(manifests: list[Manifest]) -> None:
    """A cluster would refuse the release, or ignore a property that is misspelt."""
    assert [fault for each in manifests for fault in helm.faults(each)] == []


def test_the_schemas_notice_a_misspelt_property(manifests: list[Manifest]) -> None:
    """The test above would pass whatever the chart says."""
    (worker, *_) = kinds(manifests, "Deployment")
    spec = worker["spec"]["template"]["spec"]
    worker["spec"]["template"]["spec"] = spec | {"readOnlyFilesystem": True}
    assert helm.faults(worker)
    worker["spec"]["template"]["spec"] = spec
    for scaled in kinds(manifests, "ScaledObject"):
        spec = scaled["spec"]
        scaled["spec"] = spec | {"maxReplicas": 3}
        assert helm.faults(scaled)
        scaled["spec"] = spec


def test_pods_have_no_rights(manifests: list[Manifest]) -> None:
    """Who takes over a process could write to its image, become root, or use the cluster's API."""
    for pod in pods(manifests):
        assert pod["automountServiceAccountToken"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)
        for container in pod["containers"]:
            security = container["securityContext"]
            assert security["readOnlyRootFilesystem"] is True
            assert security["allowPrivilegeEscalation"] is False
            assert security["capabilities"] == {"drop": ["ALL"]}
            assert container["resources"]["limits"]["memory"]
    assert all(
        account["automountServiceAccountToken"] is False
        for account in kinds(manifests, "ServiceAccount")
    )


def test_the_configuration_is_one_that_the_product_reads(
    manifests: list[Manifest], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every pod would end with exit code 2."""
    password = tmp_path / "password"
    password.write_text("secret")
    monkeypatch.setenv("LLM_KEY", "key")
    for number, config in enumerate(kinds(manifests, "ConfigMap")):
        file = tmp_path / f"{number}.toml"
        text = config["data"]["triage.toml"]
        assert ".0\n" not in text, "Helm reads numbers as floats"
        file.write_text(text.replace("/run/secrets/triage/kafka/password", str(password)))
        settings = load(file, environ=os.environ | {"LLM_KEY": "key"})
        assert settings.topics.partitions == 16


def test_secrets_are_mounted_and_never_in_the_configuration() -> None:
    """A password in a ConfigMap is read by everybody who may look at the namespace."""
    manifests = everything()
    assert not kinds(manifests, "Secret")
    for pod in pods(manifests):
        names = {volume["secret"]["secretName"] for volume in pod["volumes"] if "secret" in volume}
        assert {"triage-metrics", "triage-kafka"} <= names
        (container,) = pod["containers"]
        (key,) = [each for each in container["env"] if each["name"] == "LLM_KEY"]
        assert key["valueFrom"]["secretKeyRef"] == {"name": "triage-llm", "key": "api-key"}


def test_agents_are_probed_and_drain_before_they_are_killed(manifests: list[Manifest]) -> None:
    """A stuck worker would go on holding its partitions, or one that drains lose its work."""
    for workload in kinds(manifests, "Deployment", "StatefulSet"):
        pod = workload["spec"]["template"]["spec"]
        assert pod["terminationGracePeriodSeconds"] > DRAIN_S
        (container,) = pod["containers"]
        if container["args"][0] == "worker":
            assert container["livenessProbe"]["httpGet"]["path"] == "/live"
            assert container["readinessProbe"]["httpGet"]["path"] == "/ready"
        assert {"livenessProbe", "readinessProbe", "startupProbe"} <= set(container)


def test_every_topic_has_an_agent() -> None:
    """Escalated events would never end, or verdicts of people stay without effect."""
    agents = {
        agent
        for pod in pods(everything())
        for container in pod["containers"]
        if container["args"][0] == "worker"
        for agent in container["args"][2].split(",")
    }
    assert agents == {"classify", "enrich", "feedback", "learn"}


def test_everything_that_needs_the_registry_shares_it() -> None:
    """A model that was promoted would be served by some pods only."""
    for pod in pods(everything()):
        (container,) = pod["containers"]
        mounted = {mount["name"] for mount in container["volumeMounts"]}
        assert ("models" in mounted) == (container["args"][0] != "topics")
    (claim,) = [
        each
        for each in kinds(everything(), "PersistentVolumeClaim")
        if each["metadata"]["name"] == "triage-models"
    ]
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]


def test_static_members_have_a_name_that_survives_the_pod() -> None:
    """A new pod would be a new member, and the old name hold its partitions until it expires."""
    (worker,) = kinds(everything(), "StatefulSet")
    (container,) = worker["spec"]["template"]["spec"]["containers"]
    environment = {each["name"]: each for each in container["env"]}
    name = environment["TRIAGE_KAFKA__GROUP_INSTANCE_ID"]
    assert name["valueFrom"] == {"fieldRef": {"fieldPath": "metadata.name"}}
    assert int(environment["TRIAGE_KAFKA__SESSION_TIMEOUT_S"]["value"]) >= 30
    for deployment in kinds(everything(), "Deployment"):
        (container,) = deployment["spec"]["template"]["spec"]["containers"]
        assert "TRIAGE_KAFKA__GROUP_INSTANCE_ID" not in {each["name"] for each in container["env"]}


def test_a_stuck_partition_does_not_scale_the_workers() -> None:
    """The lag of a partition that cannot be read grows for ever, and more workers do not help."""
    (scaled,) = kinds(everything(), "ScaledObject")
    spec = scaled["spec"]
    assert [trigger["metadata"]["topic"] for trigger in spec["triggers"]] == [
        "triage.alerts.v1",
        "triage.tickets.v1",
    ]
    for trigger in spec["triggers"]:
        assert trigger["metadata"]["excludePersistentLag"] == "true"
        assert trigger["metadata"]["limitToPartitionsWithLag"] == "true"
        # KEDA compares the offsets of two questions: they must not follow each other at once.
        assert trigger["useCachedMetrics"] is True
    assert spec["pollingInterval"] > 2 * load(None, environ={}).kafka.commit_interval_s
    (worker,) = kinds(everything(), "StatefulSet")
    assert spec["scaleTargetRef"]["name"] == worker["metadata"]["name"]
    assert "replicas" not in worker["spec"], "an upgrade would undo what KEDA has scaled"


def test_scaling_is_off_unless_it_is_asked_for() -> None:
    """A cluster without KEDA would refuse the release."""
    assert not kinds(helm.render(CHART), "ScaledObject", "StatefulSet", "Service", "Job")


def test_the_topics_are_made_by_a_hook() -> None:
    """Workers that start before the topics are there end, and start again until they are."""
    plain = {each["kind"] for each in everything()}
    assert "Job" in plain
    # What Helm takes for a hook is not among the manifests.
    assert not kinds(helm.render(CHART), "Job")


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"worker": {"replica": 3}}, "replica"),
        ({"wroker": {}}, "wroker"),
        ({"keda": {"minReplicas": 0}}, "minReplicas"),
        ({"learn": {"enabled": True}}, "models.enabled"),
        ({"console": {"enabled": True}}, "console.tlsSecret"),
        ({"worker": {"agents": ["classfy"]}}, "agents"),
        ({"secrets": {"metrics": None}}, "metrics"),
    ],
)
def test_values_that_cannot_work_are_refused(
    values: dict[str, Any], said: str, tmp_path: Path
) -> None:
    """A mistyped value would be ignored without a word."""
    with pytest.raises(helm.HelmError, match=said):
        given(tmp_path, **values)
