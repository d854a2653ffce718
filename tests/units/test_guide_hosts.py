"""*Several hosts* of docs/guides/operators/install.md, followed to the letter on three bare Debians
with the names and addresses of the page, the controller behind the page's firewall. Part of
`make units-test`.
"""

import json
import re

import cv2
import pytest

from framegate_simulators.boards.boards import draw_board
from units.conftest import PAGE
from units.container import BUILD, boot_plant, lacking

pytestmark = pytest.mark.alone


def hosts() -> dict[str, str]:
    """The page's machines, each with its address in the plant's network."""
    rows = re.findall(r"^\| (\S+\.plant\.example) \| (10\.[0-9.]+) \|", PAGE.read_text(), re.M)
    return {name: f"{address}/8" for name, address in rows}


@pytest.fixture(scope="module")
def seen(release):
    if reason := lacking():
        pytest.skip(reason)
    picture = BUILD / "board.png"
    cv2.imwrite(str(picture), draw_board(0, design=3, defects=0, clean_capture=True).frame)
    told = boot_plant(release, "guide_hosts.py", hosts(), [picture])
    for name, machine in told.items():
        assert "fault" not in machine, f"{name}: {machine['fault']}\n{machine['journal']}"
    return told


def test_there_are_three_machines(seen):
    assert {name.partition(".")[0] for name in seen} == {"controller", "gw1", "cam1"}


def test_every_block_of_every_machine_does_what_it_says(seen):
    wrong = {}
    for machine, told in seen.items():
        assert any(name.startswith(machine) for name in told["blocks"]), told["blocks"].keys()
        for name, block in told["blocks"].items():
            if {code for code, _ in block["failed"]} - {block["code"]}:
                wrong[f"{machine}: {name}"] = (block["text"], block["failed"], block["shown"])
    assert not wrong, json.dumps(wrong, indent=1)


def test_frames_of_the_camera_have_verdicts_at_the_gateway_by_its_name(seen):
    """Nothing but what the page opens is open at the controller."""
    blocks = seen["controller.plant.example"]["blocks"]
    (back,) = [block for name, block in blocks.items() if name.startswith("And back again")]
    assert "UNINSPECTED" in back["shown"] and "trusted" in back["shown"]
