"""A Prometheus' configuration for the programs of a plant."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

HEAD = """global:
  scrape_interval: {every}s
  evaluation_interval: {every}s
scrape_configs:
  - job_name: framegate
    static_configs:
"""


def scrape_config(ports: Mapping[str, int], rules: Path | None = None, every: int = 5) -> str:
    """prometheus.yml that scrapes each of `ports`, a program's by its name, every so many
    seconds, and loads the alert rules in `rules`.
    """
    lines = [HEAD.format(every=every).rstrip()]
    for name, port in sorted(ports.items()):
        lines.append(f"      - targets: ['127.0.0.1:{port}']")
        lines.append(f"        labels: {{program: '{name}'}}")
    if rules is not None:
        lines.append(f"rule_files: ['{rules}']")
    return "\n".join(lines) + "\n"
