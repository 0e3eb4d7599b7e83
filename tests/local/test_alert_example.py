"""A real Prometheus with the rules, a real outage: the alert comes, and it goes. With UPDATE_EXAMPLE=1 the rules' times are
left as they are, which takes nine minutes, and docs/operations/example.md is written again.
"""

import json
import os
import re
import time

import alert_example
import yaml
from conftest import ROOT

RULES = ROOT / "terraform" / "modules" / "observability" / "rules.yaml"
PAGE = ROOT / "docs" / "operations" / "example.md"
SCALE = 1 if os.environ.get("UPDATE_EXAMPLE") else 30
BEGIN, END = "<!-- run -->\n", "<!-- /run -->\n"


def test_an_outage_of_redis_sets_the_alert_off_and_its_end_clears_it(local, tmp_path):
    from stack.settings import load
    from stack.supervisor import programs

    folder = tmp_path / "example"
    folder.mkdir()
    program = programs(load(local.environment))[0]
    example = alert_example.run(program, yaml.safe_load(RULES.read_text()), SCALE, folder)
    assert example.outage_at < example.fired_at < example.cleared_at
    assert example.fired["annotations"]["runbook"] == "docs/operations/failed-writes.md"
    assert float(example.fired["value"]) > 14.4 * 0.001
    if SCALE == 1:
        before, after = PAGE.read_text().split(BEGIN)[0], PAGE.read_text().split(END)[1]
        PAGE.write_text(before + BEGIN + told(example) + END + after)


def test_the_example_in_the_docs_is_of_the_rules_that_there_are():
    shown = json.loads(re.search(r"```json\n(.*?)```", PAGE.read_text(), re.DOTALL)[1])
    groups = yaml.safe_load(RULES.read_text())["groups"]
    (rule,) = [
        rule
        for group in groups
        for rule in group["rules"]
        if (rule["alert"], rule["labels"]["burn"]) == (shown["labels"]["alertname"], shown["labels"]["burn"])
    ]
    assert shown["annotations"] == rule["annotations"]
    assert shown["labels"] == rule["labels"] | {"alertname": rule["alert"]}


def told(example):
    lines = ["| time | what happened | news of `/api/v1/alerts` |", "|---|---|---|"]
    before = {}
    for at, done, states in example.events:
        news = [
            f"`{key[0]}` {key[1]}: {'**firing**' if states.get(key) == 'firing' else states.get(key, 'gone')}"
            for key in sorted(before.keys() | states.keys())
            if before.get(key) != states.get(key)
        ]
        before = states
        if done or news:
            lines.append(f"| {clock(at)} | {done or ''} | {'; '.join(news)} |")
    fired = {key: example.fired[key] for key in ("labels", "annotations", "state", "activeAt", "value")}
    return "\n".join([
        f"On {time.strftime('%-d %B %Y', time.gmtime(example.outage_at))}, times in UTC:", "", *lines, "",
        f"Somebody was paged {minutes(example.fired_at - example.outage_at)} after Redis was gone, and the page ended"
        f" {minutes(example.cleared_at - example.back_at)} after it was back. The alert as it fired:", "",
        "```json", json.dumps(fired, indent=2), "```", "",
    ])  # fmt: skip


def clock(at):
    return time.strftime("%H:%M:%S", time.gmtime(at))


def minutes(seconds):
    return f"{int(seconds) // 60} min {int(seconds) % 60} s"
