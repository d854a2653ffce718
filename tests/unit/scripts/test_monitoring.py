"""What is given to Prometheus holds: rules, their tests, and a dashboard over what there is."""

import json
import shutil
import subprocess
import sys
import tomllib

import pytest
import yaml

from support.paths import ROOT
from support.scrape import tool

pytestmark = pytest.mark.slow

MONITORING = ROOT / "monitoring"
ALERTS = tomllib.loads((ROOT / "docs/alerts.toml").read_text())


@pytest.fixture(scope="module")
def made():
    sys.path.insert(0, str(ROOT / "scripts"))
    try:
        from made import monitoring
    finally:
        sys.path.pop(0)
    return monitoring


def promtool(*argv, folder=MONITORING):
    return subprocess.run(
        [tool("promtool"), *argv], cwd=folder, capture_output=True, text=True, check=False
    )


def test_prometheus_takes_the_rules():
    done = promtool("check", "rules", "alerts.yml")
    assert done.returncode == 0 and f"{len(ALERTS)} rules" in done.stdout + done.stderr


@pytest.mark.slow
def test_every_alert_fires_stays_quiet_and_recovers():
    tests = yaml.safe_load((MONITORING / "alerts_test.yml").read_text())["tests"]
    scenes = {t["name"] for t in tests}
    assert scenes == {f"{a} {s}" for a in ALERTS for s in ("fires", "quiet", "recovers")}
    done = promtool("test", "rules", "alerts_test.yml")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("always", [False, pytest.param(True, marks=pytest.mark.plants)])
def test_a_rule_that_never_fires_or_always_does_fails_its_tests(always, tmp_path):
    """The tests can fail, each of them: promtool names every alert."""
    rules = yaml.safe_load((MONITORING / "alerts.yml").read_text())
    for rule in rules["groups"][0]["rules"]:
        rule["expr"] = constant(rule["alert"]) if always else "vector(0) > 1"
        rule["for"] = "0m"
    (tmp_path / "alerts.yml").write_text(yaml.safe_dump(rules))
    shutil.copy(MONITORING / "alerts_test.yml", tmp_path)
    done = promtool("test", "rules", "alerts_test.yml", folder=tmp_path)
    told = done.stdout + done.stderr
    assert done.returncode != 0
    assert [n for n in ALERTS if f"alertname: {n}, " not in told] == []


def constant(name: str) -> str:
    """An expression that always fires, with the labels of the alert."""
    expr = "vector(1)"
    for label, value in ALERTS[name]["labels"].items():
        expr = f'label_replace({expr}, "{label}", "{value}", "", "")'
    return expr


def test_every_runbook_is_there(made):
    page = (ROOT / made.RUNBOOKS).read_text()
    for name, said in ALERTS.items():
        assert f"\n## {name}\n" in page and said["do"][:20] in page.replace("\n", " ")


def test_a_metric_that_nobody_has_is_found(made):
    with pytest.raises(ValueError, match="framegate_devicez"):
        made._require_declared("x", "sum(framegate_devicez) > 0")
    made._require_declared("x", "rate(framegate_call_duration_seconds_bucket[5m])")


def test_the_dashboard_is_what_grafana_imports():
    board = json.loads((MONITORING / "dashboard.json").read_text())
    ids = [p["id"] for p in board["panels"]]
    assert len(set(ids)) == len(ids) and board["uid"] == "framegate"
    for panel in board["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
