"""N241: files and records that somebody else wrote, before whoever looks at them."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from framegate_host.private_files import private_folder, write_private
from framegate_models.manifest import sign_folder
from framegate_simulators.attack.target import Seen, Target, attempt
from framegate_simulators.attack.worst_answers import STEERING, STEERS

PROGRAMS: Final = ("agent", "console", "controller", "gateway", "line", "segment")
OWN_LINE: Final = "[bold]all is well"


@attempt("N241", "files with escapes in them, in their names too, shown by each program")
def n241(t: Target) -> Seen:
    folder = private_folder(t.plant.folder / "rogue-files")
    faults, asked, shown = list[str](), _asked(folder), 0
    for program, *words in asked:
        done = t.plant.command(program, *words, check=False)
        said = done.stdout + done.stderr
        lines = said.splitlines()
        shown += "\\x1b" in said
        if "Traceback" in said or any(s in said for s in STEERING):
            faults.append(f"{program} {words[0]}")
        elif any(line.startswith((OWN_LINE, "all is well")) for line in lines):
            faults.append(f"{program} {words[0]} has a line of theirs")
    told = f"{len(faults)} of {len(asked)} commands were steered or ended in an error of ours"
    more = f"{': ' * bool(faults)}{'; '.join(faults[:3])}"
    return Seen(not faults, f"{told}, {shown} showed it as text{more}")


def _asked(folder: Path) -> list[list[str]]:
    """What is typed, each of a file that is hostile in a way of its own."""
    settings = folder / f"settings{STEERS.replace('/', '')}"
    write_private(settings, f'"key" = 1\n{json.dumps(STEERS)} = {json.dumps(STEERS)}\n'.encode())
    return [
        *([f"framegate-{name}", "config", "check", str(settings)] for name in PROGRAMS),
        ["framegate", "evidence", "show", str(settings)],
        ["framegate", "profile", "lint", str(settings)],
        ["framegate-agent", "status", "--state", str(_agent(folder / "agent"))],
        ["framegate-segment", "drops", "--state", str(_segment(folder / "segment"))],
        ["framegate-models", *_data(folder / "data", folder / "key.pem")],
    ]


def _agent(folder: Path) -> Path:
    """The folder of an agent that was told everything that its status shows."""
    private_folder(folder)
    texts = ("state", "running", "controller")
    status = {
        **dict.fromkeys(texts, STEERS),
        "device": STEERS,
        "at": time.time(),
        **dict.fromkeys(("certificate_s", "attested", "rejoined"), 1),
        "outcomes": {STEERS: 1},
        "uninspected": {STEERS: 1},
        "streams": [],
        "failures": [[STEERS] * 4],
    }
    joined = ("join_address", "fleet_address", "server_name", "root", "device", "certificate")
    write_private(folder / "status.json", json.dumps(status).encode())
    body = {**dict.fromkeys(joined, STEERS), "authorities": []}
    write_private(folder / "agent.json", json.dumps(body).encode())
    return folder


def _segment(folder: Path) -> Path:
    private_folder(folder)
    texts = ("verdict", "conduit", "why", "device", "source", "destination", "port", "interface")
    drop = {**dict.fromkeys((*texts, "because"), STEERS), "number": 1, "at_ms": 1}
    write_private(folder / "drops.jsonl", json.dumps(drop).encode())
    return folder


def _data(folder: Path, public: Path) -> list[str]:
    """Pictures for which somebody vouches, in words of theirs."""
    private_folder(folder)
    key = ec.generate_private_key(ec.SECP256R1())
    form = (Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    write_private(public, key.public_key().public_bytes(*form))
    write_private(folder / "picture.png", b"picture")
    sign_folder(folder, key, STEERS, STEERS)
    return ["data", "verify", str(folder), "--key", str(public)]
