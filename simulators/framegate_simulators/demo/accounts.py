"""Who they are: operators come, sign in, guess, are given roles for a while, and leave."""

from __future__ import annotations

import json
from typing import Final

from framegate_simulators.demo.cast import Cast
from framegate_simulators.plant.processes import SIM, PlantError, wait_for

RATE: Final = 4


def first_operator(cast: Cast) -> str:
    """Init, sign-in, machines."""
    p = cast.plant
    p.found_fleet()
    p.start_controller()
    p.framegate("trust", "add-tpm-ca", p.folder / "maker.pem")
    cast.gateway = p.add_machine("gw1", "gateway")
    p.join(cast.gateway, p.invite(cast.gateway))
    p.write_golden([1, 2])
    p.start_agent(cast.gateway)
    p.start_gateway(cast.gateway)
    for n in (1, 2):
        site = p.add_machine(f"cam{n}")
        p.join(site, p.invite(site))
        p.start_agent(
            site,
            "--source",
            f"exec:{SIM} camera --design {n} --first {n * 1000} --rate {RATE}",
        )
        cast.cameras.append(site)
    wait_for("verdicts of both cameras", lambda: all(cast.inspected(c) for c in cast.cameras), 40)
    me = p.ask("whoami")
    if "admin" not in me["roles"] or me["quorum"] != 1:
        raise PlantError(f"the founder is admin until a second person comes: {me}")
    return f"anna: {', '.join(me['roles'])}; {me['notices'][0]}; two cameras are inspected"


def others_come(cast: Cast) -> str:
    """Four people enrol themselves."""
    p = cast.plant
    for name, role in (
        ("sara", "security"),
        ("erik", "engineer"),
        ("sven", "security"),
        ("aude", "auditor"),
    ):
        if name == "sara":
            cast.who[name] = p.add_person(name, role)
            continue
        cast.who[name] = cast.added_by_two(name, role)
    rows = p.ask("operator", "list")
    anna = next(r for r in rows["operators"] if r["name"] == "anna")
    if rows["quorum"] != 2 or any("admin" in r for r in anna["roles"]):
        raise PlantError(f"set-up did not end: {rows}")
    cast.show(p.framegate("operator", "list").stdout)
    return "five people, quorum 2, standing admins: none"


def guesses(cast: Cast) -> str:
    """Somebody guesses at sara's password; sara goes on."""
    p = cast.plant
    wrong = p.folder / "wrong"
    wrong.write_text("not her password at all\n")
    said = set()
    for _ in range(5):
        done = p.command(
            "framegate",
            "login",
            "sara",
            "--context",
            cast.signed_out_context("guesser"),
            "--password-file",
            wrong,
            "--code",
            "000000",
            check=False,
        )
        said.add(done.stderr.splitlines()[0] if done.stderr else "")
    locked = p.command(
        "framegate",
        "login",
        "sara",
        "--context",
        cast.signed_out_context("guesser"),
        "--password-file",
        wrong,
        "--code",
        "000000",
        check=False,
    )
    if len(said) != 1 or "locked-out" not in locked.stderr:
        raise PlantError(f"{said}; {locked.stderr}")
    if p.framegate("whoami", who=cast.who["sara"]).returncode:
        raise PlantError("sara was shut out by somebody else's guessing")
    return f"five times '{said.pop()[:40]}', then 'locked-out'; sara's own session goes on"


def roles(cast: Cast) -> str:
    """What each lacks."""
    aude = cast.refused("camera", "quarantine", "cam1", "--reason", "x", who="aude")
    can = json.loads(
        cast.plant.framegate(
            "auth",
            "can-i",
            "frame.export",
            "line-1",
            "-o",
            "json",
            check=False,
            who=cast.who["erik"],
        ).stdout
    )
    if can["allow"] or "denied-by-policy" not in aude:
        raise PlantError(f"{can}, {aude}")
    cast.show("\n".join(cast.plant.framegate("auth", "table").stdout.splitlines()[:14]))
    lacks = can["failures"][0]
    return (
        f"erik, frame.export: no (expected {lacks['expected']}, got {lacks['actual']}); aude,"
        f" quarantine: {aude.split()[0]}"
    )


def elevation(cast: Cast) -> str:
    """A role for a while."""
    p = cast.plant
    asked = json.loads(
        p.framegate(
            "access",
            "request",
            "--role",
            "admin",
            "--for",
            "1m",
            "--reason",
            "a new auditor starts",
            "-o",
            "json",
            who=cast.who["erik"],
        ).stdout
    )
    p.framegate("access", "approve", asked["id"], who=cast.who["sara"])
    cast.who["otto"] = cast.added_by_two("otto", "viewer", by="erik", approver="sara")
    session = json.loads(p.framegate("whoami", "-o", "json", who=cast.who["erik"]).stdout)
    if not any(e["role"] == "admin" for e in session["elevations"]):
        raise PlantError(f"erik holds no admin role: {session}")
    return f"admin for erik by request {asked['id']} for a minute, otto added with sara's word"


def leaves(cast: Cast) -> str:
    """Disable sven while his approval waits to be used."""
    p = cast.plant
    p.framegate("camera", "quarantine", "cam2", "--reason", "odd frames", who=cast.who["erik"])
    request = cast.request(
        cast.refused("camera", "release", "cam2", "--reason", "fine", who="sara")
    )
    p.framegate("access", "approve", request, who=cast.who["sven"])
    p.framegate("operator", "disable", "sven", "--reason", "left the company", who=cast.who["sara"])
    out = p.framegate("whoami", check=False, who=cast.who["sven"])
    alone = cast.refused("camera", "release", "cam2", "--reason", "fine", who="sara")
    wait_for(
        "erik's minute as admin to end by itself",
        lambda: (
            "admin"
            not in json.loads(p.framegate("whoami", "-o", "json", who=cast.who["erik"]).stdout)[
                "roles"
            ]
        ),
        70,
        every_s=1,
    )
    if "signed-out" not in out.stderr or "approval-needed" not in alone:
        raise PlantError(f"{out.stderr} {alone}")
    return (
        f"sven: {out.stderr.split()[0]}; the release he had approved: {alone.split()[0]};"
        " erik's minute as admin ended by itself"
    )
