"""What is left to prove it by: the record, exported, verified, and edited by somebody."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

from framegate_simulators.demo.cast import Cast
from framegate_simulators.plant.processes import PlantError, wait_for


def record(cast: Cast) -> str:
    """Export and verify offline."""
    p = cast.plant
    export = p.folder / "log.jsonl"
    p.framegate("audit", "export", "--out", export, who=cast.who["aude"])
    done = p.command(
        "framegate",
        "audit",
        "verify",
        export,
        "--root",
        f"{export}.root.pem",
        "-o",
        "json",
        check=False,
        context=Path("/nowhere"),
    )
    report = json.loads(done.stdout)
    lifted = [
        json.loads(line)
        for line in export.read_text().splitlines()
        if '"device.lift"' in line and '"approved_by"' in line
    ]
    if not report["verified"] or not lifted:
        raise PlantError(f"{done.stdout} {done.stderr}")
    e = lifted[0]
    cast.show(
        p.framegate("audit", "list", "--event", "denied", "-n", 5, who=cast.who["aude"]).stdout
    )
    return (
        f"{report['entries']} entries and {report['heads']} heads hold; entry {e['index']}:"
        f" {e['verb']} by {e['actor']} from {e['source']}, approved by"
        f" {', '.join(e['approved_by'])}, because '{e['reason']}', by policy"
        f" {', '.join(e['policies'])}"
    )


def edited(cast: Cast) -> str:
    """Edit the export, then the store."""
    p = cast.plant
    lines = (p.folder / "log.jsonl").read_text().splitlines()
    at = next(
        i for i, line in enumerate(lines) if '"device.lift"' in line and '"approved_by"' in line
    )
    edited = p.folder / "edited.jsonl"
    edited.write_text(
        "\n".join(
            [
                *lines[:at],
                lines[at].replace('"approved_by":["sven"]', '"approved_by":["anna"]'),
                *lines[at + 1 :],
            ]
        )
        + "\n"
    )
    done = p.command(
        "framegate",
        "audit",
        "verify",
        edited,
        "--root",
        p.folder / "log.jsonl.root.pem",
        "-o",
        "json",
        check=False,
    )
    report = json.loads(done.stdout)
    if report["verified"] or report["entry"] != at - 1:
        raise PlantError(f"entry {at - 1} was edited: {report}")
    wait_for("a signed head outside the store", (p.folder / "controller" / "log-heads").exists, 20)
    p.stop("controller")
    with sqlite3.connect(p.folder / "controller" / "registry.db") as store:
        store.execute("delete from log_entries where id >= 5")
    started = p.command(
        "framegate-controller",
        "run",
        "--state",
        p.folder / "controller",
        "--join-port",
        0,
        "--fleet-port",
        0,
        check=False,
    )
    if started.returncode == 0 or "controller-behind" not in started.stderr:
        raise PlantError(f"a controller started on a cut log: {started.stderr}")
    return (
        f"export: {report['check']} at entry {report['entry']}; cut store: the controller says"
        f" {started.stderr.split()[0]} and does not start"
    )
