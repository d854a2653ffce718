"""N142, N148, N215: what lies on disks: open files, an old copy put back, a witness's full file."""

from __future__ import annotations

import shutil
import stat
import subprocess
import time
from pathlib import Path
from typing import Final

from framegate.record.witness import MAX_LINE_BYTES, head_line, parse_head
from framegate_host.witness_file import AGAIN_BYTES, MOVE_BYTES, last_head, read_heads
from framegate_simulators.attack.floor import Floor
from framegate_simulators.attack.target import Seen, Target, attempt
from framegate_simulators.fixtures.access import PASSWORD, write_secret
from framegate_simulators.plant.processes import BIN, wait_for

NOTICE_S: Final = 60.0
OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


@attempt(
    "N142",
    "a fleet founded and backed up by a process that takes nothing from its files' modes, and its"
    " folder opened to everybody",
)
def n142(t: Target) -> Seen:
    folder = t.plant.folder / "umask"
    folder.mkdir(mode=0o700)
    password = write_secret(folder / "password", PASSWORD + "\n")
    state, context = folder / "state", folder / "context.json"
    addresses = ["--join-address", "127.0.0.1:1", "--fleet-address", "127.0.0.1:2"]
    init = ["init", "--state", state, "--fleet", "other", "--operator", "anna", *addresses]
    backup = ["backup", "--state", state, "--out", folder / "fleet.tar"]
    done = [
        _run_open(*init, "--context", context, "--password-file", password, "-o", "json"),
        _run_open(*backup),
    ]
    loose = [p.name for p in folder.rglob("*") if p.stat().st_mode & OTHERS]
    state.chmod(0o777)
    ready = folder / "ready.json"
    ports = ["--join-port", 0, "--fleet-port", 0, "--ready-file", ready]
    t.plant.start("controller-open", "framegate-controller", "run", "--state", state, *ports)
    try:
        t.plant.wait_until_up("controller-open", ready.exists)
    finally:
        t.plant.stop("controller-open")
    closed = not state.stat().st_mode & OTHERS
    said = "open to others" in t.plant.log_tail("controller-open")
    return Seen(
        not any(d.returncode for d in done) and not loose and closed and said,
        f"open to others: {loose or 'none'}; the opened folder: {'closed' if closed else 'OPEN'}"
        f" at the next start{', which says so' if said else ''}",
    )


def _run_open(*argv: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(Path(BIN) / "framegate-controller"), *map(str, argv)],
        capture_output=True,
        text=True,
        check=False,
        umask=0,
        timeout=60,
    )


@attempt(
    "N148",
    "an old copy of the controller's folder put back: gateway and witness must notice, and"
    " restore must make it good",
    control="frame",
)
def n148(t: Target) -> Seen:
    plant, floor = t.plant, t.once(Floor)
    state, copy, heads = (plant.folder / n for n in ("controller", "copy", "heads"))
    plant.framegate("audit", "witness", heads)
    _restart(t, lambda: shutil.copytree(state, copy))
    wait_for("a frame", floor.serves, NOTICE_S)
    t.enrol()  # the record grows past the copy
    plant.framegate("audit", "witness", heads)
    gateway = floor.gateway.machine.folder / "gateway" / "record-head"
    wait_for("the gateway to see it", lambda: _seen(gateway) >= _seen(heads), NOTICE_S)

    def put_back() -> None:
        shutil.rmtree(state)
        shutil.copytree(copy, state)

    _restart(t, put_back)
    log = f"gateway-{floor.gateway.name}"
    wait_for("the gate to close", lambda: "controller-behind" in plant.log_tail(log, 80), NOTICE_S)
    witness = plant.framegate("audit", "witness", heads, check=False)
    behind = "controller-behind" in witness.stderr and witness.returncode == 6
    while_behind = _frame(floor)
    plant.stop("controller")
    plant.command("framegate-controller", "restore", "--state", state, "--seen", heads)
    plant.start_controller()
    step = time.time() // 30
    wait_for("the next code", lambda: time.time() // 30 > step, 35)
    t.sign_in_again(always=True)
    floor.camera.ended()
    floor.other.ended()
    healed = wait_for("frames again", floor.serves, 2 * NOTICE_S)
    return Seen(
        behind and while_behind != "PASS" and bool(healed),
        f"gate closed: controller-behind; witness: exit {witness.returncode}; a frame meanwhile:"
        f" {while_behind}; restored: PASS",
    )


@attempt(
    "N215",
    "a witness's file filled up, and an export whose entries were changed under the heads that"
    " were moved aside",
)
def n215(t: Target) -> Seen:
    plant = t.plant
    heads, log = plant.folder / "full-heads", plant.folder / "witnessed.jsonl"
    plant.framegate("audit", "witness", heads)
    before = heads.read_bytes()
    filled = before * (MOVE_BYTES // len(before) + 1)
    while len(filled) % AGAIN_BYTES > MAX_LINE_BYTES:
        filled += before
    heads.write_bytes(filled)
    t.enrol()  # the record grows
    plant.framegate("audit", "witness", heads)
    moved = heads.with_name(f"{heads.name}.1")
    follows = (
        moved.exists()
        and moved.read_bytes() == filled
        and heads.read_bytes().startswith(before)
        and [head_line(h) + b"\n" for h in read_heads(heads)] == heads.read_bytes().splitlines(True)
    )
    plant.framegate("audit", "export", "--out", log)
    argv = ("audit", "verify", log, "--root", f"{log}.root.pem", "--witness", heads)
    sound = plant.framegate(*argv, check=False)
    lines = log.read_bytes().splitlines(keepends=True)
    lines[1] = lines[1].replace(b'"at_ms":1', b'"at_ms":2', 1)
    log.write_bytes(b"".join(lines))
    altered = plant.framegate(*argv, check=False)
    return Seen(
        follows and sound.returncode == 0 and altered.returncode == 6,
        f"{moved.name} {'has every head, and the file goes on' if follows else 'LOST heads'};"
        f" whole: exit {sound.returncode}, changed: exit {altered.returncode}",
    )


def _seen(heads: Path) -> int:
    """The size of the record's last head in a file of heads."""
    last = last_head(heads)
    return parse_head(last).size if last else 0


def _restart(t: Target, change: object) -> None:
    t.plant.stop("controller")
    change()  # type: ignore[operator]
    t.plant.start_controller()


def _frame(floor: Floor) -> str:
    try:
        return floor.inspected()
    except Exception as error:  # noqa: BLE001 - whatever stands between a camera and its verdict
        return type(error).__name__
