"""The Grafana dashboard: rows of panels, each with expressions over metrics that are declared."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

WIDTH: Final = 24
"""Columns of Grafana's grid."""


class Panel(NamedTuple):
    """One panel: its title, its expression, what a series is called, the unit, and its kind."""

    title: str
    expr: str
    legend: str = ""
    unit: str = "short"
    kind: str = "timeseries"


ROWS: Final[dict[str, tuple[Panel, ...]]] = {
    "Fleet": (
        Panel("Machines by state", "sum by (state) (framegate_devices)", "{{state}}"),
        Panel(
            "Oldest proof of a trusted machine",
            "time() - min(framegate_device_result_timestamp_seconds)",
            "age",
            "s",
        ),
        Panel("Programs", 'up{job="framegate"}', "{{instance}}", kind="stat"),
        Panel(
            "Checks that fail", "count(framegate_check_ok == 0) or vector(0)", "checks", kind="stat"
        ),
    ),
    "Evidence": (
        Panel(
            "Attestations",
            'sum by (outcome) (rate(framegate_calls_total{call="Fleet.Complete"}[5m]))',
            "{{outcome}}",
            "reqps",
        ),
        Panel(
            "Calls, 95th percentile",
            "histogram_quantile(0.95, sum by (service, le) "
            '(rate(framegate_call_duration_seconds_bucket{service!="other"}[5m])))',
            "{{service}}",
            "s",
        ),
        Panel(
            "Refusals by reason",
            "topk(10, increase(framegate_refusals_total[1h]))",
            "{{reason}}",
        ),
        Panel(
            "Authorities end",
            "framegate_authority_expiry_timestamp_seconds - time()",
            "{{authority}}",
            "s",
        ),
    ),
    "Record and people": (
        Panel(
            "Events by severity",
            "sum by (severity) (rate(framegate_events_by_severity_total[5m]))",
            "{{severity}}",
        ),
        Panel("Entries not read yet", "framegate_record_unread_entries", "entries"),
        Panel("Sessions", "framegate_operator_sessions", "sessions"),
        Panel("Sign-ins that fail", "increase(framegate_sign_ins_failed_total[1h])", "failed"),
        Panel("Requests", "framegate_access_requests", "{{state}}"),
        Panel(
            "Findings on behaviour",
            'increase(framegate_events_total{event="behaviour-noticed"}[1d])',
            "findings",
        ),
    ),
    "Gateways": (
        Panel(
            "Verdicts",
            "sum by (outcome) (rate(framegate_gateway_verdicts_total[1m]))",
            "{{outcome}}",
        ),
        Panel(
            "Not inspected, by reason",
            "topk(5, sum by (reason) (increase(framegate_gateway_uninspected_total[10m])))",
            "{{reason}}",
        ),
        Panel(
            "Inspection, 95th percentile",
            "histogram_quantile(0.95, sum by (le) "
            "(rate(framegate_gateway_inspection_duration_seconds_bucket[5m])))",
            "p95",
            "s",
        ),
        Panel("Gates", "framegate_gateway_gate_open", "{{instance}}", kind="stat"),
        Panel(
            "Cameras: last frame",
            "time() - framegate_gateway_camera_frame_timestamp_seconds",
            "{{camera}}",
            "s",
        ),
        Panel("Receipts that wait", "framegate_gateway_unlogged_batches", "{{instance}}"),
    ),
    "Lines": (
        Panel("Parts", "sum by (outcome) (rate(framegate_line_parts_total[1m]))", "{{outcome}}"),
        Panel("Who answers", "framegate_line_peers", "{{peer}} {{answers}}", kind="stat"),
        Panel(
            "Ledger",
            "framegate_line_ledger_bytes / framegate_line_ledger_quota_bytes",
            "{{instance}}",
            "percentunit",
        ),
    ),
    "Machines": (
        Panel("Trusted", 'framegate_agent_state{state="trusted"}', "{{instance}}", kind="stat"),
        Panel("Certificate", "framegate_agent_certificate_life_seconds", "{{instance}}", "s"),
        Panel("Frames", "sum(rate(framegate_agent_frames_total[1m]))", "frames"),
        Panel("Memory", "process_resident_memory_bytes", "{{instance}}", "bytes"),
    ),
}
"""Rows of panels, from the fleet down to one machine."""


def dashboard() -> dict[str, Any]:
    """The dashboard's JSON, as Grafana imports it; it asks which Prometheus it is to use."""
    panels: list[dict[str, Any]] = []
    y = 0
    for row, members in ROWS.items():
        place = {"x": 0, "y": y, "w": WIDTH, "h": 1}
        panels.append({"id": len(panels) + 1, "type": "row", "title": row, "gridPos": place})
        y += 1
        width = WIDTH // min(4, len(members))
        for number, panel in enumerate(members):
            place = {"x": number % 4 * width, "y": y + number // 4 * 8, "w": width, "h": 8}
            panels.append(_panel(len(panels) + 1, panel, place))
        y += 8 * ((len(members) + 3) // 4)
    return {
        "title": "Framegate",
        "uid": "framegate",
        "schemaVersion": 39,
        "tags": ["framegate"],
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {
            "list": [{"name": "source", "type": "datasource", "query": "prometheus"}],
        },
        "panels": panels,
    }


def _panel(number: int, panel: Panel, place: dict[str, int]) -> dict[str, Any]:
    source = {"type": "prometheus", "uid": "${source}"}
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "datasource": source,
        "gridPos": place,
        "fieldConfig": {"defaults": {"unit": panel.unit}, "overrides": []},
        "targets": [
            {
                "refId": "A",
                "datasource": source,
                "expr": panel.expr,
                "legendFormat": panel.legend,
            }
        ],
    }
