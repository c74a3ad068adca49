"""Dashboard and alerts name metrics that the server has, with labels that it gives them."""

import json
import re

import yaml

from harness import ROOT, eventually

FOLDER = ROOT / "deploy" / "monitoring"
# Given by Prometheus itself, or by its Kubernetes discovery.
NOT_OURS = {"le", "namespace"}


def expressions():
    """{where: PromQL}."""
    found = {}
    for group in yaml.safe_load((FOLDER / "alerts.yaml").read_text())["groups"]:
        for rule in group["rules"]:
            found[f"alert {rule['alert']}"] = rule["expr"]
    for panel in json.loads((FOLDER / "dashboard.json").read_text())["panels"]:
        for target in panel["targets"]:
            found[f"panel {panel['id']} {panel['title']} {target['refId']}"] = target["expr"]
    return found


def exposed(server):
    """{metric: its labels} of /metrics, after something has happened."""
    text = server.api(None).call("GET", "/metrics")[1].decode()
    found = {}
    for line in text.splitlines():
        if not line or line.startswith("#"):
            continue
        name, labels = re.match(r"([a-z_]+)(?:\{(.*)\})? ", line).groups()
        found.setdefault(name, set()).update(re.findall(r'([a-z_]+)="', labels or ""))
    return found


def test_metrics_and_labels_of_dashboard_and_alerts_exist(server):
    done = server.oddjob("ann", "run", "deploy/payments", "--", "true")
    assert done.code == 0, done
    server.oddjob("bob", "run", "deploy/payments", "--", "true")
    assert server.api("nobody").get("/api/v1/whoami")[0] == 401
    metrics = eventually(lambda: (m := exposed(server)) and "oddjob_http_request_duration_seconds_bucket" in m and m,
                         "the server has answered something")
    for where, expression in expressions().items():
        named = re.findall(r"(oddjob_[a-z_]+)(?:\{([^}]*)\})?", expression)
        assert named, f"{where} is about nothing of ours"
        for metric, selector in named:
            assert metric in metrics, f"{where}: there is no {metric}"
            labels = set(re.findall(r"([a-z_]+) *(?:=~|!~|!=|=)", selector or ""))
            assert labels - NOT_OURS <= metrics[metric], f"{where}: {metric} has {metrics[metric]}, not {labels}"
        for by in re.findall(r"by \(([^)]*)\)", expression):
            grouped = {label.strip() for label in by.split(",")}
            assert grouped - NOT_OURS <= set.union(*(metrics[m] for m, _ in named)), f"{where}: by ({by})"


def test_routes_that_are_named_are_routes(server):
    server.oddjob("ann", "ls")
    text = server.api(None).call("GET", "/metrics")[1].decode()
    routes = set(re.findall(r'route="([^"]*)"', text)) | {"/readyz"}
    for where, expression in expressions().items():
        for operator, route in re.findall(r'route *(=~|!=|=) *"([^"]*)"', expression):
            assert any(re.fullmatch(route, r) for r in routes), f"{where}: no route is {route}"


def test_each_alert_says_what_it_means_and_what_to_do():
    for group in yaml.safe_load((FOLDER / "alerts.yaml").read_text())["groups"]:
        for rule in group["rules"]:
            assert rule["labels"]["severity"] in ("info", "warning", "critical")
            assert rule["annotations"]["summary"] and len(rule["annotations"]["description"]) > 80, rule["alert"]


def test_the_dashboard_is_whole():
    dashboard = json.loads((FOLDER / "dashboard.json").read_text())
    panels = dashboard["panels"]
    assert len({p["id"] for p in panels}) == len(panels)
    cells = [(x, y) for p in panels for g in [p["gridPos"]] for x in range(g["x"], g["x"] + g["w"])
             for y in range(g["y"], g["y"] + g["h"])]
    assert len(cells) == len(set(cells)), "panels overlap"
    assert all(x < 24 for x, _ in cells)
