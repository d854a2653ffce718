"""The profile of an update, before its rollout: learnt, signed, imported, tried on the past."""

from __future__ import annotations

import json

from framegate_host.console import Terminal
from framegate_simulators.demo.rolling_fleet import RollingFleet
from framegate_simulators.machine.boot import Firmware
from framegate_simulators.plant.processes import PlantError


def learn(fleet: RollingFleet, firmware: Firmware, console: Terminal) -> str:
    """Update a machine that is not in production, let it join as a suspect, learn from what it
    shows.
    """
    p = fleet.plant
    site = p.add_machine("lab", firmware=firmware)
    p.join(site, p.invite(site), check=False)
    if fleet.state_of("lab") != "suspect":
        raise PlantError("an unknown system must be suspect")
    new, old = p.folder / "new.toml", p.folder / "old.toml"
    old.write_text(p.framegate("profile", "show", "simulated-camera").stdout)
    p.framegate(
        "profile",
        "learn",
        "--from",
        "lab",
        "--name",
        "simulated-camera",
        "--version",
        "1.1.0",
        "--revision",
        2,
        "--out",
        new,
    )
    changes = p.ask("profile", "diff", old, new)
    errors = [
        r
        for r in json.loads(
            p.command("framegate", "profile", "lint", new, "-o", "json", check=False).stdout
        )
        if r["level"] == "error"
    ]
    console.print(
        "\n".join(
            f"   {line}"
            for line in changes
            if "allowlist" in line or "revocation" in line or "allows" in line
        )[:1500],
        markup=False,
    )
    if errors or not any("allowlists" in c for c in changes):
        raise PlantError(f"lint: {errors}; diff: {changes}")
    return f"{len(changes)} changes, no lint errors"


def sign(fleet: RollingFleet) -> str:
    """A signer's key, a signature, an import; then the same with one digit changed."""
    p = fleet.plant
    key, signed = p.folder / "carla.pem", p.folder / "new.toml.signed"
    p.command(
        "framegate-controller",
        "profile",
        "signer",
        "carla",
        "--out",
        key,
        "--state",
        p.folder / "controller",
    )
    p.framegate("profile", "sign", p.folder / "new.toml", "--key", key)
    edited = p.folder / "edited.signed"
    body = json.loads(signed.read_text())
    body["payload"] = (
        body["payload"][:200]
        + ("A" if body["payload"][200] != "A" else "B")
        + body["payload"][201:]
    )
    edited.write_text(json.dumps(body))
    refused = p.command(
        "framegate",
        "profile",
        "import",
        edited,
        "--allowlist",
        p.folder / "new.allowlist",
        check=False,
    )
    if refused.returncode == 0:
        raise PlantError("an edited profile was imported")
    p.framegate(
        "profile", "import", signed, "--allowlist", p.folder / "new.allowlist", "--for-rollout"
    )
    rows = p.ask("profile", "list")
    kept = next(r for r in rows if r["name"] == "simulated-camera" and r["revision"] == 2)
    if kept["in_force"]:
        raise PlantError("it must wait for its rollout")
    return (
        f"revision 2 signed by {kept['signer']}, kept; the edited one:"
        f" {refused.stderr.split()[0] if refused.stderr else 'refused'}"
    )


def replay(fleet: RollingFleet) -> str:
    """What the new profile would do to what the fleet showed."""
    p = fleet.plant
    before = p.ask("camera", "list")
    done = p.command(
        "framegate",
        "replay",
        "--profile",
        p.folder / "new.toml",
        "--since",
        "7d",
        "-o",
        "json",
        check=False,
    )
    rows = json.loads(done.stdout)
    falls = {r["device"] for r in rows if r["was"] and not r["would"] and not r["problem"]}
    rises = {r["device"] for r in rows if not r["was"] and r["would"]}
    if done.returncode != 6 or len(falls) != len(fleet.cameras) or rises != {"camera.line-1.lab"}:
        raise PlantError(
            f"exit {done.returncode}, would fall {sorted(falls)}, would rise {sorted(rises)},"
            f" {[r['problem'] for r in rows if r['problem']]}"
        )
    if [c["state"] for c in before] != [c["state"] for c in p.ask("camera", "list")]:
        raise PlantError("a replay changed a state")
    p.framegate("camera", "retire", "lab", "--yes")
    return (
        f"{len(rows)} pieces of evidence: {len(falls)} cameras would fall, the lab machine"
        " would rise; nothing written"
    )
