"""What nobody hopes for: an intruder with stolen keys, and the sealed credential."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from framegate.identity.certificates import Purpose
from framegate.identity.pem import private_pem
from framegate_controller.ca.issue import certify
from framegate_controller.ca.keys import FleetKeys
from framegate_controller.ca.open import load_fleet
from framegate_controller.ca.template import leaf_template
from framegate_host.private_files import write_private
from framegate_simulators.demo.cast import Cast
from framegate_simulators.plant.processes import PlantError


def intruder(cast: Cast) -> str:
    """A stolen device key and a forged operator."""
    p = cast.plant
    context = json.loads(p.context.read_text())
    keys = load_fleet(p.folder / "controller" / "keys")
    said = []
    for what, label, purpose in (
        ("a camera's certificate", "device-ca", "DEVICE"),
        ("an operator certificate without a session", "operator-ca", "OPERATOR"),
    ):
        stolen = _credential(
            keys,
            label,
            purpose,
            "camera.line-1.cam1" if label == "device-ca" else "operator.sara",
        )
        file = p.folder / "intruder.json"
        write_private(file, json.dumps({**context, **stolen}).encode())
        for argv in (
            ("camera", "list"),
            ("camera", "retire", "cam1", "--yes"),
            ("audit", "list"),
        ):
            done = p.framegate(*argv, check=False, who=file)
            if done.returncode == 0:
                raise PlantError(f"{what} did {' '.join(argv)}")
        said.append(f"{what}: {done.stderr.split()[0]}")
    if p.state_of(cast.cameras[0]) != "trusted":
        raise PlantError("the intruder changed something")
    return "; ".join(said)


def break_glass(cast: Cast) -> str:
    """Seal, use, be told, look into it."""
    p = cast.plant
    sealed = p.folder / "sealed"
    sealing = p.command(
        "framegate-controller",
        "break-glass",
        "--state",
        p.folder / "controller",
        "--out",
        sealed,
        check=False,
    )
    if sealing.returncode:
        raise PlantError(sealing.stderr)
    context = cast.signed_out_context("emergency")
    p.command("framegate", "login", "anna", "--context", context, "--break-glass", sealed)
    again = p.command(
        "framegate",
        "login",
        "anna",
        "--context",
        cast.signed_out_context("emergency2"),
        "--break-glass",
        sealed,
        check=False,
    )
    told = p.framegate("whoami", who=cast.who["otto"])
    roles = json.loads(p.framegate("whoami", "-o", "json", who=context).stdout)["roles"]
    if (
        again.returncode == 0
        or "BREAK-GLASS" not in told.stdout + told.stderr
        or "admin" not in roles
    ):
        raise PlantError(f"{again.stderr} {told.stderr} {roles}")
    waiting = next(r for r in p.ask("access", "list")["requests"] if r["verb"] == "break-glass")
    p.framegate(
        "access", "approve", waiting["id"], "--reason", "it was a drill", who=cast.who["sara"]
    )
    quiet = p.framegate("whoami", who=cast.who["otto"])
    if "BREAK-GLASS" in quiet.stdout + quiet.stderr:
        raise PlantError("the notice did not end")
    return (
        f"opened once with {', '.join(roles)}; everybody was told until sara looked into it"
        f" ({waiting['id']})"
    )


def _credential(keys: FleetKeys, label: str, purpose: str, name: str) -> dict[str, str]:
    """What somebody would hold who got hold of a key of this kind."""
    key = ec.generate_private_key(ec.SECP256R1())
    leaf = certify(
        keys.issuing[label],
        leaf_template(
            Purpose[purpose], name, key.public_key(), timedelta(hours=1), datetime.now(UTC)
        ),
    )
    return {
        "certificate": (leaf.public_bytes(Encoding.PEM) + keys.issuing[label].pem).decode(),
        "key": private_pem(key).decode(),
        "operator": "intruder",
    }
