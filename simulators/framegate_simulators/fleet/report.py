"""A run of the fleet simulator in words, for a terminal of 80 columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from textwrap import shorten
from typing import Any, Final

SAID: Final = 4
"""Kinds of what machines were told with errors, most often first; JSON has all."""
WIDTH: Final = 48


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
    if plan["share"]:
        used = round(100 * done["share_used_up"])
        each = f"{plan['share']:g} % of a processor each"
        yield f"                {each}, used up in {used} % of periods"
    if plan["database"]:
        turns = result["turns"]
        yield (
            f"turn to write   held {round(100 * turns['held'])} % of the time,"
            f" {turns['wait_ms']} ms waited for each"
        )
    yield (
        f"a machine       {held['kib_a_device']} KiB of memory,"
        f" {held['registry_kib_a_device']} KiB of registry"
    )
    yield "turns           " + ", ".join(f"{v} {k}" for k, v in sorted(result["acts"].items()))
    yield "states          " + ", ".join(f"{v} {k}" for k, v in sorted(result["states"].items()))
    yield f"record          {result['entries']} entries, whole"
    yield f"late            {result['late_devices']}"
    for text, count in sorted(result["said"].items(), key=lambda one: -one[1])[:SAID]:
        yield f"refused         {count} times: {shorten(text, WIDTH)}"
    if plan["controllers"] > 1:
        yield f"went over       {result['went_over']} times to another controller"
    if result["silent"]:
        yield f"silent          {result['silent']} times nothing was heard of a watch"
    for one in result["restarts"]:
        yield f"restarted       {one['name']}: ended in {one['ended_s']} s"
