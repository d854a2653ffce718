"""Follows *Several hosts* of docs/guides/operators/install.md on one of its machines, which it is
given with its address. Tickets travel through /stick. It judges nothing, as
`guide.py`.

Beside what `guide.py` stands in for: a camera, which is a folder of pictures.
"""

import json
import re
import shutil
import subprocess
import sys
import time
import traceback
from dataclasses import replace
from pathlib import Path

from guide import PAGE, RELEASE, follow, journal, plug_in, sections, seen, sit_down, wait

STICK, PICTURES = Path("/stick"), Path("/srv/frames")
WAIT_S = 1200.0
"""Three machines install their packages at once, on whatever this one has left."""
CONTROLLER = "controller.plant.example"


def wire(address: str) -> None:
    for line in (f"addr add {address} dev host0", "link set host0 up"):
        subprocess.run(["ip", *line.split()], check=True)


def await_words(person, word: str, *commands: str) -> None:
    for command in commands:
        asked = f"{command} -o json"
        wait(f"{word} in {asked}", lambda a=asked: word in person.block(a)["shown"], WAIT_S)


def controller(person, blocks) -> None:
    page = PAGE.read_text()
    (rules,) = re.findall(r"^    table inet framegate \{\n.*?^    \}\n", page, re.M | re.S)
    subprocess.run(["nft", "-f", "-"], input=rules, text=True, check=True)
    follow(person, CONTROLLER, blocks)
    for ticket in ("gw1.ticket", "cam1.ticket"):
        shutil.copy(RELEASE / ticket, STICK / f"{ticket}.part")
        (STICK / f"{ticket}.part").rename(STICK / ticket)
    back = sections("### ")["And back"]
    await_words(person, '"pending"', "framegate gateway list", "framegate camera list")
    follow(person, "And back", back[:1])
    await_words(person, '"trusted"', "framegate gateway list", "framegate camera list")
    await_words(person, '"outcome"', "framegate verdict list --camera cam1")
    follow(person, "And back again", back[1:])
    (STICK / "done").touch()


def machine(person, name: str, blocks) -> None:
    short = name.partition(".")[0]
    follow(person, f"{name} before", blocks[:1])
    plug_in("simulated-gateway" if short == "gw1" else "simulated-camera")
    ticket = wait("its ticket", lambda: next(STICK.glob(f"{short}.ticket"), None), WAIT_S)
    shutil.copy(ticket, RELEASE)
    follow(person, name, [with_pictures(block) for block in blocks[1:]])
    wait("the others", (STICK / "done").exists, WAIT_S)


def with_pictures(block):
    """The block, where it names a lens with a folder of pictures for it."""
    PICTURES.mkdir(mode=0o755, exist_ok=True)
    shutil.copy(STICK / "board.png", PICTURES)
    held = f'source = ["folder:{PICTURES}"]\\nrepeat = true\\nrate = 1.0\\n'
    return replace(block, text=block.text.replace('source = ["device:0"]\\n', held))


def main() -> None:
    out, name, address = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
    try:
        wire(address)
        person = sit_down()
        begun = time.monotonic()
        follow(person, "carried", sections()["Without the Internet"][1:])
        blocks = sections("### ")[name]
        if name == CONTROLLER:
            controller(person, blocks)
        else:
            machine(person, name, blocks)
        seen["seconds"] = round(time.monotonic() - begun)
        person.close()
    except Exception:  # what came so far tells more
        seen["fault"] = traceback.format_exc()
        (STICK / "done").touch()  # nobody waits for this one any more
        units = ("controller", "agent", "gateway")
        seen["journal"] = "".join(journal(f"framegate-{unit}")[-3000:] for unit in units)
    out.write_text(json.dumps(seen, indent=1))


if __name__ == "__main__":
    main()
