"""The dashboard for Grafana: it asks for what a worker exposes, and says what it shows."""

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from prometheus_client import ProcessCollector

from inference.acceptance.watch import STATES
from streams.metrics import BREAKER_STATES, FINAL_OUTCOMES
from streams.problems import ProblemKind
from tests.unit.test_compose import DOCKER, exposed, run_promtool

GRAFANA = DOCKER / "grafana"
DASHBOARD: dict[str, Any] = json.loads((GRAFANA / "dashboards" / "triage.json").read_text("utf-8"))
PANELS: list[dict[str, Any]] = DASHBOARD["panels"]
PLOTS = [panel for panel in PANELS if panel["type"] != "row"]
COLUMNS = 24
ADDED_BY_PROMETHEUS = {"instance", "job"}
VALUES = {
    "outcome": {*FINAL_OUTCOMES.values(), "escalated", "needs_review", "dead_letter"},
    "state": {*STATES, *BREAKER_STATES},
    "kind": set(get_args(ProblemKind)),
    "job": {"triage"},
    "domain": {"$domain", "unknown"},
    "axis": {"$axis"},
    "le": {"0.25"},
    "result": {"cached"},
}
"""What a selector may ask for, by label."""
SELECTOR = re.compile(r"\b([a-z]+_\w+|up)\b(?!\()(?:\{([^}]*)\})?")
MATCHER = re.compile(r'(\w+)\s*=~?\s*"([^"]*)"')
GROUPING = re.compile(r"\bby \(([^)]*)\)")
LEGEND = re.compile(r"\{\{(\w+)\}\}")


def title(panel: dict[str, Any]) -> str:
    """The name of a panel in the output of pytest."""
    return str(panel["title"])


def expressions() -> Iterator[tuple[str, str]]:
    """Every expression, with the legend of its series."""
    for panel in PLOTS:
        for target in panel["targets"]:
            yield target["expr"], target["legendFormat"]


def series_of(expression: str) -> dict[str, list[tuple[str, str]]]:
    """The series that an expression asks for, with the labels and values of their selectors."""
    without_groupings = GROUPING.sub("", expression)
    return {
        match[1]: MATCHER.findall(match[2] or "") for match in SELECTOR.finditer(without_groupings)
    }


@cache
def labels_of() -> dict[str, set[str]]:
    """The labels of every series that Prometheus has of a worker."""
    process = {family.name for family in ProcessCollector(registry=None).collect()}
    names = process | {f"{name}_total" for name in process} | {"up"}
    known = exposed() | {name: set() for name in names}
    return {name: labels | ADDED_BY_PROMETHEUS for name, labels in known.items()}


def test_the_dashboard_can_be_imported() -> None:
    """Grafana would refuse it, or make another one at each start."""
    assert isinstance(DASHBOARD["schemaVersion"], int)
    assert re.fullmatch(r"[\w-]{1,40}", DASHBOARD["uid"])
    assert DASHBOARD["title"]
    assert "id" not in DASHBOARD, "the number of a dashboard belongs to one Grafana"


def test_every_panel_has_an_id_of_its_own() -> None:
    """Grafana would show one of two panels."""
    ids = [panel["id"] for panel in PANELS]
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("panel", PLOTS, ids=title)
def test_every_panel_says_what_it_means(panel: dict[str, Any]) -> None:
    """Whoever looks at it at night would have to know what the metric means."""
    assert panel["title"]
    assert re.fullmatch(r"[A-Z0-9][^.]*(?:\.\d[^.]*)*\.", panel["description"]), "one sentence"


def test_panels_do_not_overlap() -> None:
    """One panel would hide another."""
    taken: set[tuple[int, int]] = set()
    for panel in PANELS:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= COLUMNS
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells


@pytest.mark.parametrize(("expression", "legend"), list(expressions()))
def test_an_expression_asks_for_what_a_worker_exposes(expression: str, legend: str) -> None:
    """A panel would stay empty after a metric, a label or a value got another name."""
    known, asked = labels_of(), series_of(expression)
    assert asked
    assert set(asked) <= set(known)
    for name, matchers in asked.items():
        for label, values in matchers:
            assert label in known[name]
            assert set(values.split("|")) <= VALUES[label]
    grouped = {
        label.strip() for labels in GROUPING.findall(expression) for label in labels.split(",")
    }
    everywhere = set.intersection(*(known[name] for name in asked))
    assert grouped <= everywhere
    assert set(LEGEND.findall(legend)) <= grouped


def test_every_metric_is_on_the_dashboard() -> None:
    """A new metric would be seen by nobody, and nobody would have chosen that."""
    shown = {name for expression, _ in expressions() for name in series_of(expression)}
    parts = r"_(?:bucket|sum|count)$"
    assert {re.sub(parts, "", name) for name in exposed()} <= {
        re.sub(parts, "", each) for each in shown
    }


def test_promtool_accepts_every_expression(tmp_path: Path) -> None:
    """A panel would show an error of the parser."""
    rules = [
        {"record": f"panel:{number}", "expr": re.sub(r"\$__rate_interval", "5m", expression)}
        for number, (expression, _) in enumerate(expressions())
    ]
    path = tmp_path / "rules.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}), "utf-8")
    run_promtool("check", "rules", "--lint=none", str(path))


def test_every_panel_asks_the_chosen_prometheus() -> None:
    """A panel would ask a Prometheus that exists in another Grafana."""
    chosen = {"type": "prometheus", "uid": "${datasource}"}
    variables = DASHBOARD["templating"]["list"]
    assert [variables[0][key] for key in ("name", "type")] == ["datasource", "datasource"]
    for asking in (*PLOTS, *variables[1:], *(each for panel in PLOTS for each in panel["targets"])):
        assert asking["datasource"] == chosen


def test_every_variable_is_defined_and_used() -> None:
    """An expression would be asked with the name of a variable in it."""
    defined = {variable["name"] for variable in DASHBOARD["templating"]["list"]} - {"datasource"}
    used = {name for expression, _ in expressions() for name in re.findall(r"\$(\w+)", expression)}
    assert used - {"__rate_interval"} == defined
    asked = [variable["query"]["query"] for variable in DASHBOARD["templating"]["list"][1:]]
    for definition in asked:
        name, label = re.fullmatch(r"label_values\((\w+), (\w+)\)", definition).groups()  # type: ignore[union-attr]
        assert label in exposed()[name]


def test_grafana_finds_prometheus_and_the_dashboard() -> None:
    """With the compose file, the dashboard would be missing, or every panel empty."""
    services = yaml.safe_load((DOCKER / "compose.yaml").read_text("utf-8"))["services"]
    mounted = dict(volume.split(":")[:2] for volume in services["grafana"]["volumes"])
    assert mounted["./grafana/provisioning"] == "/etc/grafana/provisioning"
    provisioning = GRAFANA / "provisioning"
    provider = yaml.safe_load((provisioning / "dashboards" / "triage.yml").read_text("utf-8"))
    (dashboards,) = provider["providers"]
    assert mounted["./grafana/dashboards"] == dashboards["options"]["path"]
    home = services["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert home == f"{dashboards['options']['path']}/triage.json"
    source = yaml.safe_load((provisioning / "datasources" / "prometheus.yml").read_text("utf-8"))
    (prometheus,) = source["datasources"]
    assert prometheus["isDefault"]
    assert prometheus["url"] == "http://prometheus:9090"
    scrape = yaml.safe_load((DOCKER / "prometheus.yml").read_text("utf-8"))["global"]
    assert prometheus["jsonData"]["timeInterval"] == scrape["scrape_interval"]


def test_whoever_looks_cannot_change_anything() -> None:
    """Anybody on the host could point the dashboard at another Prometheus."""
    services = yaml.safe_load((DOCKER / "compose.yaml").read_text("utf-8"))["services"]
    environment = services["grafana"]["environment"]
    assert environment["GF_AUTH_ANONYMOUS_ORG_ROLE"] == "Viewer"
    assert environment["GF_AUTH_DISABLE_LOGIN_FORM"] == "true"
    assert environment["GF_AUTH_BASIC_ENABLED"] == "false"
