"""Alerts and dashboards: one set of queries for the cloud and for here, over metrics that exist, with a page for each alert."""

import json
import os
import re
import runpy
import subprocess
from pathlib import Path

import pytest
import yaml
from conftest import ROOT
from manifests import KUSTOMIZE_BUILD, NO_KUSTOMIZE, built, combined, named

HERE = Path(__file__).parent
MODULE = ROOT / "terraform" / "modules" / "observability"
RUNBOOKS = ROOT / "docs" / "operations"
K8S_LOCAL = ROOT / "k8s-local"

RULES = [rule for group in yaml.safe_load((MODULE / "rules.yaml").read_text())["groups"] for rule in group["rules"]]
PAGES = yaml.safe_load((MODULE / "pages.yaml").read_text())
PANELS = [panel for page in PAGES for panel in page["panels"]]
QUERIES = [rule["expr"] for rule in RULES] + [query["expr"] for panel in PANELS for query in panel["queries"]]

# What of PromQL the queries may use beside metrics and labels.
WORDS = {"and", "on", "by", "absent", "avg", "delta", "histogram_quantile", "increase", "max", "max_over_time", "or", "rate", "sum", "unless", "vector"}

TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[a-zA-Z_:][a-zA-Z0-9_:]*|\[[0-9]+[smhd]\]|=~|!~|!=|>=|<=|[0-9.]+|\S')


def listed():
    """Every name that a query may use, with the values of its attributes, from the documented list."""
    metrics = {}
    for line in (ROOT / "docs" / "metrics.md").read_text().splitlines():
        cells = [cell.strip() for cell in line.split("|")]
        if len(cells) < 8 or not cells[2].startswith("`"):
            continue
        name, kind = cells[2].strip("`"), cells[3]
        attributes = {key: set(re.findall("`([^`]*)`", values)) for key, values in re.findall(r"`(\w+)`: ([^;]*)", cells[5])}
        ends = ("_bucket", "_count", "_sum") if kind.lower() == "histogram" else ("",)
        for end in ends:
            metrics[name + end] = attributes | ({"le": None} if end == "_bucket" else {})
    assert len(metrics) > 40, "docs/metrics.md has no table of metrics"
    return metrics


def used(query):
    """(metrics, [(metric, label, operator, value)], labels that are grouped by) of a query. Anything else in it must be known."""
    tokens = TOKEN.findall(query)
    metrics, matchers, grouped = [], [], set()
    at = 0
    while at < len(tokens):
        token, following = tokens[at], tokens[at + 1 : at + 2]
        if token in ("by", "on") and following == ["("]:
            end = tokens.index(")", at)
            grouped |= set(tokens[at + 2 : end]) - {","}
            at = end
        elif token == "{":
            end = tokens.index("}", at)
            inside = [part for part in tokens[at + 1 : end] if part != ","]
            assert len(inside) % 3 == 0, query
            matchers += [(metrics[-1], *inside[part : part + 3]) for part in range(0, len(inside), 3)]
            at = end
        elif re.match("[a-zA-Z_]", token) and token not in WORDS:
            metrics.append(token)
        at += 1
    return metrics, matchers, grouped


@pytest.mark.parametrize("query", sorted(set(QUERIES)))
def test_a_query_uses_metrics_and_attributes_of_the_list_only(query):
    known = listed()
    metrics, matchers, grouped = used(query)
    assert metrics, "a query without a metric"
    assert set(metrics) - known.keys() == set()
    for metric, label, operator, value in matchers:
        values = json.loads(value).split("|") if operator == "=~" else [json.loads(value)]
        assert operator in ("=", "=~") and label in known[metric], (metric, label)
        allowed = known[metric][label]
        assert allowed is None or set(values) <= allowed, (metric, label, values)
    for label in grouped - {"instance"}:
        assert any(label in known[metric] for metric in metrics), label


def test_the_reader_of_queries_sees_everything():
    metrics, matchers, grouped = used('sum by (a, b) (rate(x_total{c="d", e=~"f|g"}[5m])) / max(y) > 0.8 and on () absent(z)')
    assert metrics == ["x_total", "y", "z"]
    assert matchers == [("x_total", "c", "=", '"d"'), ("x_total", "e", "=~", '"f|g"')]
    assert grouped == {"a", "b"}


def test_the_rules_are_good_and_fire_and_clear_as_they_should(tmp_path):
    panels = [{"record": f"panel:{number}", "expr": query} for number, query in enumerate(QUERIES)]
    (tmp_path / "panels.yaml").write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": panels}]}))
    for arguments in (
        ("check", "rules", MODULE / "rules.yaml", tmp_path / "panels.yaml"),
        ("test", "rules", HERE / "promises" / "promises.yaml"),
    ):
        done = subprocess.run(["promtool", *arguments], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_is_set_off_and_ended_by_a_test():
    tested = (HERE / "promises" / "promises.yaml").read_text()
    cases = yaml.safe_load(tested)["tests"]
    for name in {rule["alert"] for rule in RULES}:
        fired = cleared = False
        for case in cases:
            for step in case["promql_expr_test"]:
                if f'"{name}"' in step["expr"]:
                    cleared |= fired and not step["exp_samples"]
                    fired |= bool(step["exp_samples"])
        assert fired and cleared, name


def test_every_alert_has_its_page_and_every_page_of_an_alert_says_what_it_must():
    index = (RUNBOOKS / "README.md").read_text()
    pages = {rule["annotations"]["runbook"] for rule in RULES}
    pages |= set(re.findall(r'"(docs/operations/[^"]+\.md)"', (MODULE / "promises.tf").read_text()))
    for page in pages:
        text = (ROOT / page).read_text()
        for part in ("## What it means", "## What to look at", "## What to do", "## How to check that it is over"):
            assert part in text, (page, part)
        assert f"({Path(page).name})" in index, page
    for rule in RULES:
        assert f"`{rule['alert']}`" in (ROOT / rule["annotations"]["runbook"]).read_text(), rule["alert"]
        assert rule["labels"]["severity"] in ("page", "ticket") and rule["annotations"]["summary"]


def test_the_pages_name_metrics_and_program_commands_that_exist():
    text = "\n".join(path.read_text() for path in RUNBOOKS.glob("*.md"))
    assert set(re.findall(r"\b(?:confab|process)_[a-z_]+", text)) - listed().keys() == set()
    commands = set(re.findall(r"enum Command \{(.*?)\n\}", (ROOT / "src/cli/mod.rs").read_text(), re.S)[0].split())
    named = set(re.findall(r"\bconfab ([a-z]+)\b", text))
    known = {re.sub(r"[^a-z].*", "", word.lower()) for word in commands}
    assert named >= {"probe", "tail", "export", "verify", "check"} and named <= known, named - known


def test_grafana_shows_what_the_cloud_shows():
    wanted = runpy.run_path(str(K8S_LOCAL / "observability" / "grafana.py"))["files"]()
    for path, text in wanted.items():
        if os.environ.get("UPDATE_GOLDEN"):
            path.write_text(text)
        assert path.read_text() == text, f"{path.name} is not current: make docs"
    assert {path.name for path in wanted} == {path.name for path in (K8S_LOCAL / "observability" / "dashboards").iterdir()}
    for dashboard in map(json.loads, wanted.values()):
        places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in dashboard["panels"]]
        assert len(places) == len(set(places)) and all(panel["targets"] for panel in dashboard["panels"])


@pytest.mark.skipif(not KUSTOMIZE_BUILD, reason=NO_KUSTOMIZE)
def test_a_cluster_gets_the_same_rules_and_dashboards(tmp_path):
    objects = built(combined(("monitoring",), tmp_path))
    prometheus = named(objects, "ConfigMap", "confab-prometheus")["data"]
    assert prometheus.keys() == {"prometheus.yaml", "rules.yaml"}
    assert prometheus["rules.yaml"] == (MODULE / "rules.yaml").read_text()
    for name, text in prometheus.items():
        (tmp_path / name).write_text(text)
    checked = subprocess.run(
        ["promtool", "check", "config", tmp_path / "prometheus.yaml"], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0 and f"{len(RULES)} rules found" in checked.stdout, checked.stdout + checked.stderr
    dashboards = named(objects, "ConfigMap", "confab-dashboards")
    assert dashboards["metadata"]["labels"]["grafana_dashboard"] == "1"
    shown = {path.name: path.read_text() for path in (K8S_LOCAL / "observability" / "dashboards").iterdir()}
    assert dashboards["data"] == shown


@pytest.mark.skipif(not KUSTOMIZE_BUILD, reason=NO_KUSTOMIZE)
def test_telemetry_may_go_to_the_collector_and_nowhere_else(tmp_path):
    policy = named(built(combined(("observability",), tmp_path)), "NetworkPolicy", "telemetry")
    assert policy["spec"]["egress"] == [
        {"to": [{"podSelector": {"matchLabels": {"app.kubernetes.io/name": "otel"}}}], "ports": [{"port": 4317}]}
    ]


def test_the_layers_prometheus_is_well_configured(tmp_path):
    for file in (K8S_LOCAL / "observability" / "prometheus.yaml", MODULE / "rules.yaml"):
        (tmp_path / file.name).write_text(file.read_text())
    done = subprocess.run(
        ["promtool", "check", "config", tmp_path / "prometheus.yaml"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    layer = yaml.safe_load((K8S_LOCAL / "compose.observability.yaml").read_text())["services"]["otel"]
    for volume in layer["volumes"]:
        assert (K8S_LOCAL / volume.split(":")[0]).exists(), volume
