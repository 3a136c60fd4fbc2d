"""Prometheus, its alerts, the dashboard and the runbook name what exists, and all of it.

`promtool` is asked too where it is installed (Debian: prometheus); what it would find in names, labels and expressions
is checked here in any case.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml

from holonstream.schemas.metrics import METRICS
from tests.support.promql import ExpressionNames, names_in

ROOT = Path(__file__).parents[2]
PROMETHEUS = ROOT / "deploy" / "prometheus"
GRAFANA = ROOT / "deploy" / "grafana"
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
CONFIG: dict[str, Any] = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())
GROUPS: list[dict[str, Any]] = yaml.safe_load((PROMETHEUS / "alerts.yml").read_text())["groups"]
RULES: list[dict[str, Any]] = [rule for group in GROUPS for rule in group["rules"]]
ALERTS = [rule for rule in RULES if "alert" in rule]
RECORDED = {rule["record"]: rule["expr"] for rule in RULES if "record" in rule}
DASHBOARD: dict[str, Any] = json.loads((GRAFANA / "dashboards" / "holonstream.json").read_text())
PANELS: list[dict[str, Any]] = DASHBOARD["panels"]

TARGET_LABELS = {"job", "instance", "service"}
OTHERS = {  # metrics of Prometheus itself and of prometheus-client, with their labels
    "up": TARGET_LABELS,
    "ALERTS": {"alertname", "alertstate"},
    "process_cpu_seconds_total": TARGET_LABELS,
    "process_resident_memory_bytes": TARGET_LABELS,
}
VALUES = {
    "group": {"graph", "cache"},
    "outcome": {"applied", "skipped", "dead"},
    "alertstate": {"firing", "pending"},
    "job": {scrape["job_name"] for scrape in CONFIG["scrape_configs"]},
}


def labels(series: str) -> set[str]:
    """The labels that a series has. KeyError when nothing exports or records it."""
    if series in OTHERS:
        return OTHERS[series]
    if series in RECORDED:
        return names_in(RECORDED[series]).grouped
    name = series if series in METRICS else re.sub(r"_(bucket|sum|count)$", "", series)
    metric = METRICS[name]
    assert (metric.kind == "histogram") == (name != series), f"{series}: {name} is a {metric.kind}"
    return {*metric.labels, *TARGET_LABELS, *({"le"} if series.endswith("_bucket") else ())}


def check(expression: str) -> ExpressionNames:
    """Every series, label and value of an expression exists."""
    found = names_in(expression)
    for series in found.metrics:
        assert labels(series), series
    for series, label, value in found.selected:
        assert label in labels(series), f"{series} has no label {label}"
        if label == "le":
            bounds = METRICS[series.removesuffix("_bucket")].buckets
            assert value in {repr(float(bound)) for bound in bounds}, f"{series} has no bucket {value}"
        else:
            assert value in VALUES[label], f"{label} is never {value}"
    assert found.grouped <= {label for series in found.metrics for label in labels(series)}
    return found


def expressions_of_panels() -> Iterator[tuple[dict[str, Any], str, str]]:
    for panel in PANELS:
        for target in panel.get("targets", []):
            yield panel, target["expr"], target["legendFormat"]


def test_prometheus_asks_every_process_where_it_serves_its_metrics() -> None:
    (scrape,) = CONFIG["scrape_configs"]
    (found,) = scrape["dns_sd_configs"]
    ports = {
        name: int(service["environment"]["HOLONSTREAM_METRICS_PORT"])
        for name, service in COMPOSE.items()
        if "HOLONSTREAM_METRICS_PORT" in service.get("environment", {})
    }
    assert set(found["names"]) == ports.keys()
    assert set(ports.values()) == {found["port"]}
    assert {relabel["target_label"] for relabel in scrape["relabel_configs"]} == {"service"}


def test_prometheus_reads_its_files_where_compose_puts_them() -> None:
    assert CONFIG["rule_files"] == ["alerts.yml"]
    mounted = dict(volume.split(":")[:2] for volume in COMPOSE["prometheus"]["volumes"])
    assert mounted["./deploy/prometheus"] == "/etc/prometheus"
    assert "--config.file=/etc/prometheus/prometheus.yml" in COMPOSE["prometheus"]["command"]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.get("alert") or rule["record"])
def test_a_rule_uses_what_is_exported(rule: dict[str, Any]) -> None:
    check(rule["expr"])


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert["alert"])
def test_an_alert_says_how_bad_it_is_and_what_to_do(alert: dict[str, Any]) -> None:
    assert re.fullmatch(r"\d+[mh]", alert["for"])
    assert alert["labels"]["severity"] in {"critical", "warning"}
    assert alert["annotations"].keys() == {"summary", "runbook"}
    assert alert["annotations"]["runbook"] == f"docs/runbook.md#{alert['alert'].lower()}"
    used = set(re.findall(r"\$labels\.(\w+)", alert["annotations"]["summary"]))
    found = names_in(alert["expr"])
    aggregated = re.search(r"\b(sum|max|min|avg|count|absent)\b", alert["expr"])
    left = found.grouped if aggregated else {label for series in found.metrics for label in labels(series)}
    assert used <= left, "the summary names a label that the expression does not leave"


def test_the_runbook_has_a_section_for_every_alert_and_no_other() -> None:
    text = (ROOT / "docs" / "runbook.md").read_text()
    assert set(re.findall(r"^### (\w+)$", text, re.M)) == {alert["alert"] for alert in ALERTS}


def test_names_of_alerts_and_of_records_are_given_once() -> None:
    names = [rule.get("alert") or rule["record"] for rule in RULES]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ("panel", "expression", "legend"), list(expressions_of_panels()), ids=lambda value: str(value)[:60]
)
def test_a_panel_uses_what_is_exported(panel: dict[str, Any], expression: str, legend: str) -> None:
    found = check(expression)
    of_series = {label for series in found.metrics for label in labels(series)}
    assert set(re.findall(r"\{\{(\w+)\}\}", legend)) <= of_series, panel["title"]


def test_every_metric_is_shown_or_watched() -> None:
    used = {series for _, expression, _ in expressions_of_panels() for series in names_in(expression).metrics}
    used |= {series for rule in RULES for series in names_in(rule["expr"]).metrics}
    shown = {name for name in METRICS if used & {name, *(f"{name}_{part}" for part in ("bucket", "sum", "count"))}}
    assert METRICS.keys() - shown == {"holonstream_build_info"}


def test_panels_lie_side_by_side_and_have_titles_of_their_own_in_a_row() -> None:
    for one, other in combinations(PANELS, 2):
        a, b = one["gridPos"], other["gridPos"]
        apart = (
            a["x"] + a["w"] <= b["x"]
            or b["x"] + b["w"] <= a["x"]
            or a["y"] + a["h"] <= b["y"]
            or b["y"] + b["h"] <= a["y"]
        )
        assert apart, f"{one['title']} lies on {other['title']}"
        assert one["id"] != other["id"]
    assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24 for panel in PANELS)


def test_the_rows_are_in_the_order_of_flow() -> None:
    rows = [panel["title"] for panel in sorted(PANELS, key=lambda p: p["gridPos"]["y"]) if panel["type"] == "row"]
    order = ["all well", "log", "relay", "graph", "cache", "readers", "processes"]
    assert len(rows) == len(order)
    assert all(word in row for word, row in zip(order, rows, strict=True))


def test_grafana_finds_prometheus_and_the_dashboard() -> None:
    (source,) = yaml.safe_load((GRAFANA / "provisioning" / "datasources" / "prometheus.yml").read_text())["datasources"]
    assert source["url"] == "http://prometheus:9090"
    used = {panel["datasource"]["uid"] for panel in PANELS if "datasource" in panel}
    used |= {target["datasource"]["uid"] for panel in PANELS for target in panel.get("targets", [])}
    assert used == {source["uid"]}
    (provider,) = yaml.safe_load((GRAFANA / "provisioning" / "dashboards" / "holonstream.yml").read_text())["providers"]
    mounted = dict(volume.split(":")[:2] for volume in COMPOSE["grafana"]["volumes"])
    assert mounted["./deploy/grafana/dashboards"] == provider["options"]["path"]
    assert mounted["./deploy/grafana/provisioning"] == "/etc/grafana/provisioning"
    home = Path(COMPOSE["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
    assert str(home.parent) == provider["options"]["path"]
    assert (GRAFANA / "dashboards" / home.name).exists()


if shutil.which("promtool"):

    @pytest.mark.parametrize(
        "arguments",
        [
            ("check", "config", "prometheus.yml"),
            ("check", "rules", "alerts.yml"),
            ("test", "rules", "alerts.test.yml"),
        ],
        ids=" ".join,
    )
    def test_promtool_finds_nothing(arguments: tuple[str, ...]) -> None:
        ran = subprocess.run(["promtool", *arguments], cwd=PROMETHEUS, capture_output=True, text=True, timeout=60)
        assert ran.returncode == 0, ran.stdout + ran.stderr
