"""What takes two: a profile that is learnt and imported, a quarantine that is lifted."""

from __future__ import annotations

from framegate_simulators.demo.cast import Cast
from framegate_simulators.plant.processes import PlantError, wait_for


def profile(cast: Cast) -> str:
    """Learn, sign, ask, swap, approve, import."""
    p = cast.plant
    new, key = p.folder / "new.toml", p.folder / "erik.pem"
    erik = cast.who["erik"]
    p.framegate(
        "profile",
        "learn",
        "--from",
        "cam1",
        "--name",
        "simulated-camera",
        "--version",
        "1.1.0",
        "--revision",
        2,
        "--out",
        new,
        who=erik,
    )
    p.command(
        "framegate-controller",
        "profile",
        "signer",
        "erik",
        "--out",
        key,
        "--state",
        p.folder / "controller",
    )
    p.framegate("profile", "sign", new, "--key", key, who=erik)
    signed = p.folder / "new.toml.signed"
    first = cast.refused(
        "profile", "import", signed, "--allowlist", p.folder / "new.allowlist", who="erik"
    )
    request = cast.request(first)
    own = cast.refused("access", "approve", request, who="erik")
    p.framegate(
        "access",
        "approve",
        request,
        "--reason",
        "compared with the maker's notes",
        who=cast.who["sara"],
    )
    other = p.folder / "swapped.toml"
    other.write_text(new.read_text().replace('version = "1.1.0"', 'version = "1.1.1"'))
    p.framegate("profile", "sign", other, "--key", key, who=erik)
    swapped = cast.refused(
        "profile",
        "import",
        p.folder / "swapped.toml.signed",
        "--allowlist",
        p.folder / "new.allowlist",
        who="erik",
    )
    p.framegate("profile", "import", signed, "--allowlist", p.folder / "new.allowlist", who=erik)
    kept = next(
        r
        for r in p.ask("profile", "list")
        if r["name"] == "simulated-camera" and r["revision"] == 2
    )
    if "approval-needed" not in swapped or "denied" not in own or not kept["in_force"]:
        raise PlantError(f"{swapped}; {own}; {kept}")
    return (
        f"import waited for {request}; erik approving himself: refused; sara approved; a"
        f" swapped file: {swapped.split()[0]}; revision 2 by {kept['signer']} in force"
    )


def lift(cast: Cast) -> str:
    """Quarantine is one person's, lifting it takes two."""
    p = cast.plant
    p.framegate(
        "camera", "quarantine", "cam1", "--reason", "lens was swapped", who=cast.who["erik"]
    )
    alone = cast.refused("camera", "release", "cam1", "--reason", "lens is ours", who="sara")
    request = cast.request(alone)
    p.framegate(
        "access", "approve", request, "--reason", "saw the delivery note", who=cast.who["sven"]
    )
    p.framegate("camera", "release", "cam1", "--reason", "lens is ours", who=cast.who["sara"])
    wait_for("cam1 to prove itself", lambda: p.state_of(cast.cameras[0]) == "trusted", 20)
    p.framegate("camera", "quarantine", "cam1", "--reason", "again", who=cast.who["erik"])
    again = cast.refused("camera", "release", "cam1", "--reason", "lens is ours", who="sara")
    second = cast.request(again)
    if second == request:
        raise PlantError("an approval counted twice")
    p.framegate("access", "approve", second, who=cast.who["sven"])
    p.framegate("camera", "release", "cam1", "--reason", "lens is ours", who=cast.who["sara"])
    wait_for("cam1 to prove itself", lambda: p.state_of(cast.cameras[0]) == "trusted", 20)
    return (
        f"sara alone: {alone.split()[0]}; with sven's word lifted; the second time a new"
        f" request ({second}) was needed"
    )
