"""What a monitoring system is given: alert rules with their tests and runbooks, a dashboard, the
page of all metrics, and rules of behaviour for a SIEM.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from framegate.behaviour.sigma import sigma_rules, yaml_of
from framegate_agent.metrics import FAMILIES as AGENT
from framegate_controller.metrics.families import FAMILIES as CONTROLLER
from framegate_gateway.metrics import FAMILIES as GATEWAY
from framegate_host.telemetry.families import SHARED, Family
from framegate_line.metrics import FAMILIES as LINE
from made.dashboard import dashboard
from made.markdown import code, table, wrapped

ROOT: Final = Path(__file__).parents[2]
ALERTS: Final = ROOT / "docs/alerts.toml"
RUNBOOKS: Final = "docs/guides/operators/alerts.md"
MADE: Final = "# Made from docs/alerts.toml by `make pages`; do not edit.\n"
PROGRAMS: Final = {
    "every program": SHARED,
    "controller": CONTROLLER,
    "gateway": GATEWAY,
    "agent": AGENT,
    "line": LINE,
}
_METRIC: Final = re.compile(r"\bframegate_[a-z_]+")
_SCENES: Final = ("fires", "quiet", "recovers")


@dataclass(frozen=True, slots=True)
class Alert:
    """An alert as docs/alerts.toml has it."""

    name: str
    said: Mapping[str, Any]

    @property
    def rule(self) -> dict[str, Any]:
        """The rule, as Prometheus reads it."""
        return {
            "alert": self.name,
            "expr": self.said["expr"],
            "for": self.said["for"],
            "labels": {"severity": self.said["severity"]},
            "annotations": self.annotations,
        }

    @property
    def annotations(self) -> dict[str, str]:
        """What whoever is called reads first."""
        return {"summary": self.said["summary"], "runbook": f"{RUNBOOKS}#{self.name.lower()}"}

    def tests(self) -> Iterator[dict[str, Any]]:
        """That it fires, that it does not, and that it is over when what caused it is."""
        at, over = self.said["at"], self.said["over"]
        for scene in _SCENES:
            fires = [] if scene == "quiet" else [at]
            looks = sorted({at, over} if scene != "fires" else {at})
            yield {
                "interval": "1m",
                "name": f"{self.name} {scene}",
                "input_series": [
                    {"series": name, "values": values[scene]}
                    for name, values in self.said["series"].items()
                ],
                "alert_rule_test": [self._look(minute, minute in fires) for minute in looks],
            }

    def _look(self, minute: int, fires: bool) -> dict[str, Any]:
        alert = {
            "exp_labels": {"severity": self.said["severity"], **self.said["labels"]},
            "exp_annotations": self.annotations,
        }
        return {
            "eval_time": f"{minute}m",
            "alertname": self.name,
            "exp_alerts": [alert] if fires else [],
        }


def pages() -> dict[str, str]:
    """Every page and file by its path."""
    alerts = [Alert(name, said) for name, said in tomllib.loads(ALERTS.read_text("utf-8")).items()]
    for alert in alerts:
        _require_declared(alert.name, alert.said["expr"])
    rules = {"groups": [{"name": "framegate", "rules": [a.rule for a in alerts]}]}
    tests = {
        "rule_files": ["alerts.yml"],
        "evaluation_interval": "1m",
        "tests": [t for a in alerts for t in a.tests()],
    }
    board = dashboard()
    for expression in _expressions(board):
        _require_declared("the dashboard", expression)
    return {
        "monitoring/alerts.yml": MADE + _yaml(rules),
        "monitoring/alerts_test.yml": MADE + _yaml(tests),
        "monitoring/dashboard.json": json.dumps(board, indent=2) + "\n",
        **{
            f"monitoring/sigma/{name}.yml": "# Made by `make pages`; do not edit.\n" + yaml_of(each)
            for name, each in sigma_rules().items()
        },
        RUNBOOKS: _runbooks(alerts),
        "docs/reference/metrics.md": _metrics(),
    }


def _require_declared(where: str, expression: str) -> None:
    """Raises ValueError where `expression` is of a metric that no program has."""
    known = {n for families in PROGRAMS.values() for f in families for n in samples(f)}
    for name in _METRIC.findall(expression):
        if name not in known:
            raise ValueError(f"{where}: no program has {name}")


def samples(family: Family) -> Iterator[str]:
    """The names that a family's samples have."""
    yield family.name
    if family.buckets:
        yield from (f"{family.name}_{part}" for part in ("bucket", "count", "sum"))


def _expressions(board: Mapping[str, Any]) -> Iterator[str]:
    for panel in board["panels"]:
        yield from (target["expr"] for target in panel.get("targets", ()))


def _yaml(value: object) -> str:
    return yaml.safe_dump(value, sort_keys=False, width=120, allow_unicode=True)


def _runbooks(alerts: list[Alert]) -> str:
    parts = [
        "# Alerts and what to do\n",
        "Made from `docs/alerts.toml` by `make pages`; do not edit.\n",
        wrapped(
            "Prometheus loads `monitoring/alerts.yml`; each alert names its section here. "
            "[Watching a fleet](watching.md) says how programs are scraped, "
            "[Metrics](../../reference/metrics.md) what each number is."
        )
        + "\n",
    ]
    for alert in alerts:
        said = alert.said
        parts += [
            f"## {alert.name}\n",
            wrapped(f"{said['summary']} Severity {said['severity']}, after {said['for']}.") + "\n",
            "<!-- block: text -->\n",
            f"    {said['expr']}\n",
            wrapped(f"**What it means.** {said['means']}") + "\n",
            wrapped(f"**What to do.** {said['do']}") + "\n",
        ]
    return "\n".join(parts)


def _metrics() -> str:
    parts = [
        "# Metrics\n",
        wrapped(
            "Made from the declarations beside each program by `make pages`; do not edit. "
            "A label's values are a closed list, or ids that the registry gave out: what is not on "
            "the list counts as `other`. Counters begin at 0 with each process. Beside these, "
            "every program has `process_*`: memory, processor time, open files."
        )
        + "\n",
    ]
    for program, families in PROGRAMS.items():
        own = [f for f in families if program == "every program" or f not in SHARED]
        rows = [
            (code(f.name), f.kind.value, ", ".join(_label(x) for x in f.labels) or "none", f.help)
            for f in own
        ]
        title = "Every program" if program == "every program" else f"framegate-{program}"
        parts += [f"## {title}\n", table(("metric", "kind", "labels", "what"), rows)]
    return "\n".join(parts)


def _label(label: Any) -> str:
    if label.values is None:
        return code(label.name)
    few = len(label.values) <= 6
    return code(label.name) + (f" ({', '.join(sorted(label.values))})" if few else "")
