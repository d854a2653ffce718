"""The enforcer's loop: it wakes for a cut, finishes it, and has a switch told what changed."""

import asyncio
import time

from framegate_host.watchdog import Promise
from framegate_segment.admission.switch_state import SwitchState
from framegate_segment.enforcement.enforcer import Enforcer, Standing
from framegate_segment.server import Server
from support.segments import CAM1, GW1, FakeKernel, planned_segment


class Told:
    """What the loop says, in order."""

    def __init__(self):
        self.cuts, self.asked, self.states = [], [], []
        self.heard = False

    def cut(self, cut):
        self.cuts.append(cut)


def keeping(folder, told):
    """A server's loop on a kernel of its own; no feed, no sockets."""
    server = Server.__new__(Server)
    server.enforcer = Enforcer(FakeKernel())
    server.enforcer.enforce(planned_segment())
    server._woken, server.promise = asyncio.Event(), Promise("enforcement")
    server.enforcer.cut_begun = server._woken.set
    server._switch_state = SwitchState(folder / "switch.json")
    server.sightings = server.view = told
    server._admit = lambda: None

    def ask(device):
        told.asked.append(device)
        told.states.append((folder / "switch.json").read_text())

    server._ask_switch = ask
    return server


async def until(condition):
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 - what changed is a file and lists
            await asyncio.sleep(0.005)


async def test_a_cut_wakes_the_loop_and_the_switch_hears_after_the_file_says_so(tmp_path):
    told = Told()
    server = keeping(tmp_path, told)
    loop = asyncio.create_task(server._keep())
    try:
        await until(lambda: (tmp_path / "switch.json").exists())
        far = time.monotonic() + 3_600
        server.enforcer.update({d: Standing("trusted", far) for d in (CAM1, GW1)})
        server._woken.set()
        await until(lambda: told.asked == [CAM1])
        assert CAM1 in told.states[0], "who gets more asks again once the file has them"
        server.enforcer.update({CAM1: Standing("quarantined", 0)})
        assert server._woken.is_set()
        await until(lambda: told.cuts)
        (cut,) = told.cuts
        assert cut.device == CAM1 and not cut.left
        assert told.asked == [CAM1, CAM1] and CAM1 not in told.states[1]
    finally:
        loop.cancel()
