"""A policy as code: pulled, tested, simulated on what was decided, mended and applied by two."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Final

from framegate_simulators.demo.cast import Cast
from framegate_simulators.plant.processes import PlantError, wait_for

MODEL_RULE: Final = """// On these lines one model inspects: the one that was approved.
@id("only-the-approved-model")
forbid (principal is Device, action == Action::"inspect", resource is Model)
unless { resource.digest == "MODEL" };
"""
LENT_RULE: Final = """// cam2 is lent to the lab until the fair is over.
@id("cam2-is-lent")
forbid (principal is Device, action == Action::"inspect", resource)
when { principal.name == "cam2" };
"""


def policy(cast: Cast) -> str:
    """Pull, change, test, simulate, mend, apply with two."""
    p, sara = cast.plant, cast.who["sara"]
    folder = p.folder / "policy"
    p.framegate("policy", "pull", "--out", folder, who=sara)
    (model,) = set(
        re.findall(r"\b[0-9a-f]{64}\b", p.command("framegate-gateway", "model", "show").stdout)
    )
    rule = folder / "model.cedar"
    rule.write_text(
        MODEL_RULE.replace("MODEL", model[:-1] + ("0" if model[-1] != "0" else "1"))
    )  # mistyped
    (folder / "tests").mkdir(exist_ok=True)
    cases = [
        {
            "name": "the approved model",
            "given": {"device": {}, "model": model},
            "expect": "allow",
        },
        {
            "name": "another model",
            "given": {"device": {}, "model": "ab" * 32},
            "expect": "deny",
            "by": ["only-the-approved-model"],
        },
    ]
    (folder / "tests" / "model.json").write_text(json.dumps(cases))
    tested = p.framegate("policy", "test", folder, check=False, who=sara)
    simulated = p.framegate("policy", "simulate", folder, "--since", "1d", check=False, who=sara)
    cast.show(simulated.stdout)
    rule.write_text(MODEL_RULE.replace("MODEL", model))
    again = json.loads(
        p.framegate(
            "policy", "simulate", folder, "--since", "1d", "-o", "json", check=False, who=sara
        ).stdout
    )
    p.framegate("policy", "test", folder, who=sara)
    if tested.returncode == 0 or simulated.returncode != 6 or again["would_change"]:
        raise PlantError(f"{tested.stdout}; {simulated.stdout}; {again}")
    _apply(cast, folder, "one model only")
    before = cast.uninspected(cast.cameras[1])
    (folder / "lent.cedar").write_text(LENT_RULE)
    _apply(cast, folder, "cam2 is lent")
    began = time.monotonic()
    wait_for(
        "cam2 to be denied by policy",
        lambda: cast.uninspected(cast.cameras[1]) > before + 2,
        15,
    )
    seen = cast.inspected(cast.cameras[0])
    wait_for("cam1 to go on", lambda: cast.inspected(cast.cameras[0]) > seen, 15)
    rows = json.loads(p.framegate("policy", "history", "-o", "json", who=sara).stdout)
    return (
        "a mistyped digest would have stopped every camera: seen before it was applied; of"
        f" {again['decisions']} recorded decisions the mended one changes none; version"
        f" {rows[0]['version']} denies cam2 at its gateway {time.monotonic() - began:.1f} s"
        " after it was applied, cam1 goes on"
    )


def _apply(cast: Cast, folder: Path, note: str) -> None:
    p = cast.plant
    alone = cast.refused("policy", "apply", folder, "--note", note, who="sara")
    p.framegate("access", "approve", cast.request(alone), who=cast.who["sven"])
    p.framegate("policy", "apply", folder, "--note", note, who=cast.who["sara"])
    p.framegate("policy", "pull", "--out", folder, who=cast.who["sara"])
