"""A playbook at a controller that runs: put in force over the port by two, acting, asking, tried on
the record, stopped.
"""

import re

import pytest

from framegate.errors import Reason
from framegate.machines.lifecycle import Event as Edge
from framegate.machines.lifecycle import State
from framegate_controller.fleet.devices import change_state
from framegate_operator.asked_content import read_asked
from framegate_proto.v1 import framegate_pb2 as pb
from framegate_proto.v1 import framegate_pb2_grpc as rpc
from framegate_simulators.fixtures.access import camera_of
from support.playbooks import playbook_toml
from support.waiting import until
from support.walk import answer


async def test_a_playbook_is_enabled_by_two_acts_asks_is_simulated_and_stopped(walk):
    text = playbook_toml(devices=1)
    async with walk.channel("security") as one, walk.channel("approver") as two:
        stub, other = rpc.OperatorStub(one), rpc.OperatorStub(two)
        asked = pb.EnablePlaybookRequest(text=text)
        reason, hint = await answer(stub, "EnablePlaybook", asked, ())
        assert reason == Reason.APPROVAL_NEEDED
        await approve(other, re.findall(r"approve ([0-9a-f]{8})", hint)[0], text)
        row = await stub.EnablePlaybook(asked)
        assert (row.mode, list(row.approvers), row.enabled_by) == (
            "act",
            ["approver"],
            "the-security",
        )
        with walk.store.writing() as tx:
            since = tx.now_ms
            cameras = [
                camera_of(name, State.STALE, zone="line-9", since_ms=tx.now_ms) for name in "abc"
            ]
            for camera in cameras:
                tx.devices.add(camera)
            trusted = [change_state(tx, camera, Edge.PROVED) for camera in cameras]
            for camera in trusted[:2]:
                change_state(tx, camera, Edge.CONTRADICTED)
        await until(lambda: walk.entries("playbook-asked"))
        (done,) = walk.entries("playbook-step")
        (trigger,) = (e for e in walk.entries() if e["index"] == done["members"]["trigger"])
        assert (trigger["event"], done["actor"]) == ("contradicted", "playbook.hold-contradicted")
        history = (await stub.PlaybookHistory(pb.PlaybookHistoryRequest())).rows
        assert [(r.state, r.undo) for r in reversed(history)] == [
            ("done", "framegate camera release a"),
            ("asked", ""),
        ]
        tried = stub.SimulatePlaybook(pb.SimulatePlaybookRequest(text=text, since_ms=since))
        assert [r.verdict async for r in tried] == ["act", "ask"]
        await approve(other, history[0].request, "camera.line-9.b")
        await until(lambda: len(walk.entries("playbook-step")) == 2)
        row = await stub.DisablePlaybook(
            pb.DisablePlaybookRequest(name="hold-contradicted", reason="r")
        )
        assert row.ended and row.text == ""


async def approve(stub, identifier: str, word: str) -> None:
    """Somebody reads all of it, and says yes to these bytes."""
    shown = await stub.ShowAccess(pb.ShowAccessRequest(id=identifier))
    read = read_asked(shown)
    assert word in str(read.message).replace("\\n", "\n").replace('\\"', '"')
    await stub.DecideAccess(
        pb.DecideRequest(id=identifier, approve=True, reason="read it", content_sha256=read.digest)
    )


@pytest.mark.parametrize("who", ["viewer", "operator", "engineer", "auditor"])
async def test_n152_nobody_else_puts_one_in_force_or_stops_it(walk, who):
    async with walk.channel(who) as opened:
        stub = rpc.OperatorStub(opened)
        request = pb.EnablePlaybookRequest(text=playbook_toml())
        reason, _ = await answer(stub, "EnablePlaybook", request, ())
        assert reason == Reason.POLICY_DENIED
        stop = pb.DisablePlaybookRequest(name="none", reason="r")
        reason, _ = await answer(stub, "DisablePlaybook", stop, ())
        assert reason == Reason.POLICY_DENIED
