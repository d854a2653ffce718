"""A run of the fleet simulator in words, for a terminal of 80 columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def lines(result: Mapping[str, Any]) -> Iterator[str]:
    """What was measured, a line each."""
    plan, done, joined = result["plan"], result["attestations"], result["enrolments"]
    held = result["controller"]
    yield f"machines        {plan['devices']}, every {plan['interval_s']:g} s"
    yield (
        f"enrolments      {joined['per_s']} a second,"
        f" p50 {joined['p50_ms']} ms, p99 {joined['p99_ms']} ms"
    )
    yield (
        f"controller      {joined['controller_cpu_ms']} ms of CPU each;"
        f" machines {joined['machines_cpu_ms']} ms"
        + (f", database {joined['database_cpu_ms']} ms" if plan["database"] else "")
    )
    if joined["turns_meanwhile"]:
        yield f"                with {joined['turns_meanwhile']} turns of who had joined"
    yield (
        f"attestations    {done['done']}, {done['per_s']} a second,"
        f" p50 {done['p50_ms']} ms, p99 {done['p99_ms']} ms"
    )
    yield (
        f"controller      {done['controller_cpu_ms']} ms of CPU each,"
        f" {done['controller_cores']} cores; machines {done['machines_cpu_ms']} ms"
        + (f", database {done['database_cpu_ms']} ms" if plan["database"] else "")
    )
    yield (
        f"a machine       {held['kib_a_device']} KiB of memory,"
        f" {held['registry_kib_a_device']} KiB of registry"
    )
    yield "turns           " + ", ".join(f"{v} {k}" for k, v in sorted(result["acts"].items()))
    yield "states          " + ", ".join(f"{v} {k}" for k, v in sorted(result["states"].items()))
    yield f"record          {result['entries']} entries, whole"
    yield f"late            {result['late_devices']}"
    if plan["controllers"] > 1:
        yield f"went over       {result['went_over']} times to another controller"
    for one in result["restarts"]:
        yield f"restarted       {one['name']}: ended in {one['ended_s']} s"
