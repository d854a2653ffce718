"""What an act of an operator leaves: its entry, nothing where it was tried dry, and its one
approval spent (N119).
"""

import asyncio
import json
import re

from framegate.access.verbs import Role
from framegate.errors import Reason
from framegate_proto.asked import content_of
from framegate_proto.v1 import framegate_pb2 as pb
from framegate_proto.v1 import framegate_pb2_grpc as rpc
from framegate_simulators.fixtures.access import (
    signed_in,
)
from support.verb_requests import verb_request
from support.walk import CAM, answer


async def test_every_allow_and_deny_is_an_entry_with_who_where_why_and_by_which_policy(walk):
    async with walk.channel(Role.VIEWER) as opened:
        await answer(
            rpc.OperatorStub(opened),
            "Change",
            pb.ChangeRequest(device="cam1", event="retire", reason="it is old"),
            (),
        )
    async with walk.channel(Role.OPERATOR) as opened:
        await answer(
            rpc.OperatorStub(opened),
            "Change",
            pb.ChangeRequest(device="cam1", event="quarantine", reason="dirty lens"),
            (),
        )
    entries = walk.entries()
    denied, done = (
        [e for e in entries if e["event"] == "denied"][-1],
        [e for e in entries if e.get("to") == "quarantined"][-1],
    )
    assert (
        denied["actor"] == "operator.the-viewer"
        and denied["source"] == "127.0.0.1"
        and denied["verb"] == "device.retire"
        and "access-policy 1" in denied["policy"]
    )
    assert (
        done["actor"] == "operator.the-operator"
        and done["verb"] == "device.quarantine"
        and done["policies"] == ["operators"]
        and done["source"] == "127.0.0.1"
    )
    assert "dirty lens" in json.dumps(done)


async def test_a_dry_run_by_somebody_who_may_leaves_no_entry(walk):
    async with walk.channel(Role.OPERATOR) as opened:
        stub = rpc.OperatorStub(opened)
        await answer(stub, "List", pb.ListRequest(), ())
        before = len(walk.entries())
        assert (
            await answer(
                stub, "Change", pb.ChangeRequest(device="cam1", event="quarantine", reason="r")
            )
        )[0] is None
        # the controller's own chores may write beside it
        theirs = [e for e in walk.entries()[before:] if e.get("actor") == "operator.the-operator"]
        with walk.store.reading() as tx:
            assert theirs == [] and tx.devices.get(CAM).state == "trusted"


async def test_n119_one_approval_and_five_who_race_for_it(walk):
    """The act and the spending of its approval are one transaction: one of five wins."""
    request = pb.SetZoneRequest(zone="line-1", feed_silence="grace")
    async with walk.channel(Role.SECURITY) as opened, walk.channel("approver") as others:
        stub, approver = rpc.OperatorStub(opened), rpc.OperatorStub(others)
        _, hint = await answer(stub, "SetZone", request, ())
        identifier = re.findall(r"approve ([0-9a-f]{8})", hint)[0]
        yes = pb.DecideRequest(
            id=identifier,
            approve=True,
            content_sha256=content_of(request).digest("zone.set"),
        )
        decided = await asyncio.gather(
            *(answer(approver, "DecideAccess", yes, ()) for _ in range(4))
        )
        assert sorted(str(r) for r, _ in decided) == sorted(["None", *[str(Reason.CONFLICT)] * 3])
        done = await asyncio.gather(*(answer(stub, "SetZone", request, ()) for _ in range(5)))
        assert [r for r, _ in done].count(None) == 1 and {r for r, _ in done} == {
            None,
            Reason.APPROVAL_NEEDED,
        }
    assert len(walk.entries("zone-set")) == 1


async def test_n119_a_gateway_of_another_zone_than_the_one_it_was_approved_for(walk):
    """Somebody who may approve in line-1 alone is asked, and the asker takes it to line-2."""
    walk.pairs["local"] = signed_in(walk.store, walk.fleet, "local", "security@line-1")
    export = pb.ExportRequest(id="x", destination="d", reason="r")
    digest = content_of(export).digest("frame.export")
    verb = verb_request(export, "gateway.line-1.gw1", "gateway.line-1.gw2", reason="r")
    async with walk.channel(Role.SECURITY) as opened, walk.channel("local") as others:
        stub = rpc.OperatorStub(opened)
        row = await stub.RequestVerb(verb)
        assert (
            await answer(
                rpc.OperatorStub(others),
                "DecideAccess",
                pb.DecideRequest(id=row.id, approve=True, content_sha256=digest),
                (),
            )
        )[0] is None
        for gateways in (
            ["gateway.line-2.gw1"],
            ["gateway.line-1.gw1", "gateway.line-2.gw1"],
            ["gateway.line-1.gw3"],
            [],
            ["junk"],
        ):
            taken = pb.TakeApprovalRequest(
                verb="frame.export", content_sha256=digest, gateways=gateways
            )
            assert (await answer(stub, "TakeApproval", taken, ()))[0] in {
                Reason.APPROVAL_NEEDED,
                Reason.NOT_FOUND,
                Reason.USAGE,
            }
        good = pb.TakeApprovalRequest(
            verb="frame.export",
            content_sha256=digest,
            gateways=["gateway.line-1.gw1", "gateway.line-1.gw2"],
        )
        assert len((await stub.TakeApproval(good)).approvals) == 2
        assert (await answer(stub, "TakeApproval", good, ()))[0] == Reason.NOT_FOUND
