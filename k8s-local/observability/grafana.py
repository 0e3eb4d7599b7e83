"""What dashboards/*.json have to hold, for Grafana: the pages of the Terraform module, so that both show the same queries.

`make docs` writes them after a change of terraform/modules/observability/pages.yaml.
"""

import json
from pathlib import Path

import yaml

HERE = Path(__file__).resolve().parent
PAGES = HERE.parent.parent / "terraform" / "modules" / "observability" / "pages.yaml"
DASHBOARDS = HERE / "dashboards"

# Of 24 columns.
WIDTH, HEIGHT = 12, 8


def panel(number, spec):
    steps = [{"color": "green", "value": None}]
    if "threshold" in spec:
        steps.append({"color": "red", "value": spec["threshold"]})
    return {
        "id": number + 1,
        "type": "timeseries",
        "title": spec["title"],
        "datasource": {"type": "prometheus", "uid": "${source}"},
        "gridPos": {"x": number % 2 * WIDTH, "y": number // 2 * HEIGHT, "w": WIDTH, "h": HEIGHT},
        "fieldConfig": {
            "defaults": {
                "unit": spec["unit"],
                "min": 0,
                "custom": {"thresholdsStyle": {"mode": "line" if "threshold" in spec else "off"}},
                "thresholds": {"mode": "absolute", "steps": steps},
            },
            "overrides": [],
        },
        "targets": [
            {"refId": chr(ord("A") + index), "expr": query["expr"], "legendFormat": query["legend"]}
            for index, query in enumerate(spec["queries"])
        ],
    }


def dashboard(page):
    return {
        "uid": f"confab-{page['name']}",
        "title": page["title"],
        "tags": ["confab"],
        "timezone": "browser",
        "schemaVersion": 39,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "templating": {"list": [{"name": "source", "type": "datasource", "query": "prometheus", "label": "Prometheus"}]},
        "panels": [panel(number, spec) for number, spec in enumerate(page["panels"])],
    }


def files():
    """What each file has to hold."""
    pages = yaml.safe_load(PAGES.read_text())
    return {DASHBOARDS / f"{page['name']}.json": json.dumps(dashboard(page), indent=2) + "\n" for page in pages}
