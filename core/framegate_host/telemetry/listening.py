"""Where a program may show its metrics: on loopback, or with certificates on both sides."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

from framegate.errors import Failure, Reason
from framegate_host.setting_records import Settings
from framegate_host.setting_values import HOST_PORT, Setting

MetricsAt = Annotated[
    str,
    Setting(
        "Serve metrics and health there; beyond loopback only with --metrics-tls. Default: not.",
        form=HOST_PORT,
        example="127.0.0.1:9464",
    ),
]
MetricsTls = Annotated[
    Path | None,
    Setting(
        "Folder with metrics.pem and metrics.key of this listener, and clients.pem: the CA whose "
        "clients may read.",
        there="folder",
        example=Path("/etc/framegate/metrics"),
    ),
]
TracesTo = Annotated[
    str,
    Setting(
        "Send traces to an OpenTelemetry collector on this machine (OTLP over gRPC); needs the "
        "extra traces. Default: none.",
        form=HOST_PORT,
        example="127.0.0.1:4317",
    ),
]


def traces_problems(settings: Settings, collector: str) -> Iterable[Failure]:
    """That traces, which say who calls what and when, leave this machine by a collector alone."""
    if collector and not is_loopback(collector):
        hint = "run a collector beside it, which knows TLS: --traces 127.0.0.1:4317"
        wanted = "--traces: an address of this machine"
        yield Failure(Reason.USAGE, wanted, collector, hint)


def metrics_problems(settings: Settings, at: str, tls: Path | None) -> Iterable[Failure]:
    """That metrics leave this machine only to who shows a certificate."""
    if tls is not None and not at:
        yield settings.beside("metrics", "--metrics-tls")
    if at and tls is None and not is_loopback(at):
        hint = "listen on 127.0.0.1, or: framegate-controller server-certificate metrics"
        yield settings.beside("metrics_tls", f"--metrics {at}", hint)


def is_loopback(at: str) -> bool:
    """Whether HOST:PORT is an address of this machine alone. A name is not: whoever answers for
    names could say anything.
    """
    host = at.rpartition(":")[0].strip("[]")
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
