"""The table verb x role (tests/vectors/access/roles.json), walked cell by cell through real
RPCs over real TLS, of the controller and of a gateway.
"""

import json
import re
from dataclasses import replace

from framegate.access.policy import default_files, parse_policy
from framegate.access.verbs import Role, verbs
from framegate.errors import Reason
from framegate.machines.lifecycle import State
from framegate.registry.zone import Zone
from framegate_gateway.ports.operators import GatewayOperatorService
from framegate_operator.asked_content import read_asked
from framegate_operator.permissions import role_table
from framegate_proto.v1 import framegate_pb2 as pb
from framegate_proto.v1 import framegate_pb2_grpc as rpc
from framegate_simulators.fixtures.access import (
    access_update,
    camera_of,
    operator_pair,
    operator_trust,
    signed_in,
)
from support.gate import Gate
from support.paths import VECTORS
from support.verb_requests import CONTROLLER, GATEWAY, OF_THIS_FLEET, REQUESTS
from support.walk import answer

GOLDEN = json.loads((VECTORS / "access" / "roles.json").read_text())


NOT_ALLOWED = {
    Reason.POLICY_DENIED,
    Reason.APPROVAL_NEEDED,
    Reason.FACTOR_NEEDED,
    Reason.ZONE_FROZEN,
    Reason.POLICY_INVALID,
    Reason.SIGNED_OUT,
    Reason.WRONG_ROLE,
}


def test_the_golden_table_is_what_the_default_policy_says_of_every_verb_and_role():
    assert role_table(parse_policy(default_files())) == GOLDEN
    assert set(GOLDEN) == set(verbs()) and all(set(row) == set(Role) for row in GOLDEN.values())


def test_every_rpc_of_operators_belongs_to_a_verb_and_every_verb_has_a_request_here():
    service = pb.DESCRIPTOR.services_by_name
    every = {f"{s}.{m.name}" for s in ("Operator", "GatewayOperator") for m in service[s].methods}
    assert {r for v in verbs().values() for r in v.rpc} == every
    assert {f"{v.name} {r}" for v in verbs().values() for r in v.rpc} == set(
        REQUESTS
    ) | OF_THIS_FLEET


async def test_n80_every_cell_of_the_table_at_the_controller(walk):
    wrong = []
    for role in Role:
        async with walk.channel(role) as opened, walk.channel("approver") as others:
            stub, approver = rpc.OperatorStub(opened), rpc.OperatorStub(others)
            for key in CONTROLLER:
                verb, method = key.split(" Operator.")
                before = walk.rows()
                reason, _ = await answer(stub, method, walk.requests[key])
                expected = GOLDEN[verb][role]
                told = (
                    "no"
                    if reason == Reason.POLICY_DENIED
                    else "2"
                    if reason == Reason.APPROVAL_NEEDED
                    else "?"
                    if reason in NOT_ALLOWED
                    else "yes"
                )
                if verb == "access.approve" and role in {"security", "admin"}:
                    assert reason is None
                if told != expected:
                    wrong.append((role, key, expected, told, reason))
                assert walk.rows() == before, f"a dry run of {key} by {role} left something"
                if told == "2" == expected:
                    reason, hint = await answer(stub, method, walk.requests[key], ())
                    assert reason == Reason.APPROVAL_NEEDED, (key, reason)
                    asked = re.findall(r"approve ([0-9a-f]{8})", hint)[0]
                    shown = await approver.ShowAccess(pb.ShowAccessRequest(id=asked))
                    read = read_asked(shown)
                    assert type(read.message) is type(walk.requests[key])
                    await approver.DecideAccess(
                        pb.DecideRequest(
                            id=asked, approve=True, reason="walk", content_sha256=read.digest
                        )
                    )
                    reason, _ = await answer(stub, method, walk.requests[key])
                    assert reason not in NOT_ALLOWED, (role, key, reason)
    assert not wrong


async def test_n80_every_cell_of_the_table_at_a_gateway(keys, tmp_path):
    gate = Gate(keys, tmp_path)
    gate.view.access.quorum = 2
    await gate.operators.start()
    try:
        pairs = {role: operator_pair(keys, f"the-{role}") for role in Role}
        people = [operator_trust(f"the-{role}", pair, role) for role, pair in pairs.items()]
        gate.view.apply(
            pb.TrustUpdate(
                revision=gate.view.revision + 1, access=access_update(keys, people, quorum=2)
            )
        )
        wrong = []
        for role, pair in pairs.items():
            async with gate.channel(gate.operator_port, pair) as opened:
                for key in GATEWAY:
                    verb, method = key.split(" GatewayOperator.")
                    stub = rpc.GatewayOperatorStub(opened)
                    gate.view.apply(
                        pb.TrustUpdate(revision=gate.view.revision + 1)
                    )  # the feed goes on
                    reason, _ = await answer(stub, method, REQUESTS[key])
                    told = (
                        "no"
                        if reason == Reason.POLICY_DENIED
                        else "2"
                        if reason == Reason.APPROVAL_NEEDED
                        else "?"
                        if reason in NOT_ALLOWED
                        else "yes"
                    )
                    if told != GOLDEN[verb][role]:
                        wrong.append((role, key, GOLDEN[verb][role], told, reason))
        assert not wrong
    finally:
        await gate.operators.stop(0)
        gate.receipts.close()


async def test_a_role_in_one_zone_sees_and_touches_that_zone_alone(walk):
    with walk.store.writing() as tx:
        tx.devices.add(camera_of("cam2", State.TRUSTED, zone="line-2", since_ms=tx.now_ms))
    walk.pairs["local"] = signed_in(walk.store, walk.fleet, "local", "operator@line-2")
    async with walk.channel("local") as opened:
        stub = rpc.OperatorStub(opened)
        assert [d.device for d in (await stub.List(pb.ListRequest())).devices] == [
            "camera.line-2.cam2"
        ]
        assert sum((await stub.FleetStatus(pb.ListRequest())).states.values()) == 1
        assert [z.name for z in (await stub.ListZones(pb.ListRequest())).zones] == ["line-2"]
        assert {e.device.split(".")[1] for e in (await stub.Events(pb.EventsRequest())).events} <= {
            "line-2"
        }
        assert (await answer(stub, "Show", pb.DeviceRequest(device="cam2")))[0] is None
        assert (await answer(stub, "Change", pb.ChangeRequest(device="cam2", event="quarantine")))[
            0
        ] is None
        for method, request in (
            ("Show", pb.DeviceRequest(device="cam1")),
            ("Change", pb.ChangeRequest(device="cam1", event="quarantine")),
            ("ShowMasks", pb.DeviceRequest(device="cam1")),
            ("Invite", pb.InviteRequest(kind="camera", name="n", zone="line-1", profile="p")),
            ("ReadLog", pb.ReadLogRequest()),
            ("RotateCa", pb.RotateCaRequest(label="device-ca")),
        ):
            assert (await answer(stub, method, request))[0] == Reason.POLICY_DENIED, method


def asked_of(group: str) -> list[tuple[str, str, Role]]:
    """Every request of the verbs in a group, its call, and a role that may make it."""
    return [
        (key, key.split(" Operator.")[1], next(r for r in Role if GOLDEN[verb][r] != "no"))
        for key in CONTROLLER
        if group in verbs()[verb := key.split()[0]].groups
    ]


async def test_dangerous_verbs_ask_for_a_fresh_second_factor(walk):
    said = {}
    for key, method, role in asked_of("fresh"):
        tired = f"tired-{role}"
        if tired not in walk.pairs:
            walk.pairs[tired] = signed_in(walk.store, walk.fleet, tired, role, factor_age_s=901)
        async with walk.channel(tired) as opened:
            said[key], _ = await answer(rpc.OperatorStub(opened), method, walk.requests[key])
    assert len(said) > 5 and set(said.values()) == {Reason.FACTOR_NEEDED}, said


async def test_a_frozen_zone_bars_changes_and_nothing_else(walk):
    with walk.store.writing() as tx:
        tx.zones.put(Zone(name="line-1", frozen=True, reason="audit", by="x"))
    barred = {}
    for key, method, role in asked_of("change"):
        async with walk.channel(role) as opened:
            stub = rpc.OperatorStub(opened)
            barred[key], _ = await answer(stub, method, walk.requests[key])
            assert (await answer(stub, "Show", pb.DeviceRequest(device="cam1")))[0] is None, key
    allowed = {Reason.ZONE_FROZEN, Reason.APPROVAL_NEEDED}
    assert len(barred) > 5 and set(barred.values()) <= allowed, barred
    async with walk.channel(Role.OPERATOR) as opened:
        quarantine = pb.ChangeRequest(device="cam1", event="quarantine")
        assert (await answer(rpc.OperatorStub(opened), "Change", quarantine))[0] is None


async def test_a_person_without_a_role_may_ask_for_one_and_nothing_else(walk):
    walk.pairs["nobody"] = signed_in(walk.store, walk.fleet, "nobody", "viewer")
    with walk.store.writing() as tx:
        tx.people.put(replace(tx.people.get("nobody"), roles=()))
    async with walk.channel("nobody") as opened:
        stub = rpc.OperatorStub(opened)
        assert (await stub.WhoAmI(pb.WhoAmIRequest())).roles == []
        assert (
            await stub.RequestRole(pb.RoleRequest(role="viewer", minutes=5, reason="new here"))
        ).state == "pending"
        for key in CONTROLLER:
            verb, method = key.split(" Operator.")
            if "self" not in verbs()[verb].groups:
                assert (await answer(stub, method, walk.requests[key]))[
                    0
                ] == Reason.POLICY_DENIED, key


def test_the_gateway_service_has_no_call_without_a_check():
    import inspect

    for method in pb.DESCRIPTOR.services_by_name["GatewayOperator"].methods:
        source = inspect.getsource(getattr(GatewayOperatorService, method.name))
        assert "self._access.operator(" in source or "self._access.authorised(" in source, (
            method.name
        )
