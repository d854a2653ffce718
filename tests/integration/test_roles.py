"""The table verb x role (tests/vectors/access/roles.json), walked cell by cell through real
RPCs over real TLS, of the controller and of a gateway.
"""

import asyncio
import contextlib
import json
import re
import sqlite3
from dataclasses import replace

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from framegate.access.policy import default_files, parse_policy
from framegate.access.verbs import Role, verbs
from framegate.errors import Reason
from framegate.machines.lifecycle import State
from framegate.machines.model import ModelState
from framegate.machines.request import RequestKind
from framegate.profile.model import PROFILE_TYPE
from framegate.registry.model import Model
from framegate.registry.request import AccessRequest
from framegate.registry.zone import Zone
from framegate.signed.dsse import seal_envelope
from framegate.signed.model import bundle_digest, sign_model
from framegate.signed.pin import key_anchor
from framegate.wire import sha256
from framegate_controller.events.messages import TrustUpdate
from framegate_controller.inspection.models import pin_model
from framegate_controller.server import Controller
from framegate_controller.settings import ControllerSettings
from framegate_controller.store.ports import EntryQuery
from framegate_gateway.ports.operators import GatewayOperatorService
from framegate_operator.people import role_table
from framegate_proto.edge import from_rpc_error
from framegate_proto.v1 import framegate_pb2 as pb
from framegate_proto.v1 import framegate_pb2_grpc as rpc
from framegate_simulators.fixtures.access import (
    PASSWORD,
    access_update,
    add_person,
    camera_of,
    certificate_request,
    operator_pair,
    operator_trust,
    signed_in,
    totp_now,
)
from framegate_simulators.fixtures.controller import found_controller
from framegate_simulators.machine.boot import Firmware, profile_toml
from support.gate import Gate
from support.paths import VECTORS

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
DRY = (("framegate-dry-run", "1"), ("framegate-reason-bin", b"walking the table"))
FILES = [pb.PolicyFile(name=n, text=t) for n, t in default_files().items()]
OTHER = [
    *FILES,
    pb.PolicyFile(
        name="more.cedar",
        text='@id("more") forbid (principal, action == Action::"data.erase", resource);',
    ),
]
CAM = "camera.line-1.cam1"


def authority() -> bytes:
    from framegate_simulators.machine.tpm import TpmMaker

    return TpmMaker.found().certificate.public_bytes(Encoding.DER)


MODEL_KEY = ec.generate_private_key(ec.SECP256R1())
MODEL_ANCHOR = key_anchor(MODEL_KEY.public_key())


def model_request(version: int) -> pb.RegisterModelRequest:
    recipe = json.dumps({"name": "walk", "version": version}).encode()
    files = {"recipe.json": sha256(recipe), "model.onnx": bytes(32)}
    digests = [pb.FileDigest(name=n, sha256=d) for n, d in files.items()]
    return pb.RegisterModelRequest(
        signature=sign_model("walk", files, MODEL_KEY),
        files=digests,
        anchor=MODEL_ANCHOR,
        recipe=recipe,
    )


MODELS = {1: ModelState.APPROVED, 2: ModelState.APPROVED, 3: ModelState.REGISTERED}
"""Versions of a model that the registry knows; zone line-1 has had the first two."""
DIGESTS = {
    v: bundle_digest({f.name: f.sha256 for f in model_request(v).files}).hex() for v in MODELS
}
GOLDEN_PNG = b"\x89PNG\r\n\x1a\n" + bytes(100)

REQUESTS = {
    "model.register Operator.RegisterModel": model_request(9),
    "model.approve Operator.ApproveModel": pb.ModelRequest(digest=DIGESTS[3]),
    "model.promote Operator.PromoteModel": pb.ModelRequest(digest=DIGESTS[2], zone="line-2"),
    "model.rollback Operator.RollBackModel": pb.ModelRequest(zone="line-1"),
    "model.show Operator.ListModels": pb.ListRequest(),
    "model.show Operator.ShowModel": pb.ModelRequest(digest=DIGESTS[1]),
    "part.show Operator.ListParts": pb.ListRequest(),
    "part.show Operator.ShowPart": pb.PartRequest(part_type="x"),
    "part.add Operator.AddPart": pb.AddPartRequest(
        part_type="board-7", goldens=[GOLDEN_PNG], source="a good lot"
    ),
    "part.learn GatewayOperator.LearnGolden": pb.LearnGoldenRequest(
        part_type="board-7", frames=8, timeout_s=1
    ),
    "whoami Operator.WhoAmI": pb.WhoAmIRequest(),
    "logout Operator.SignOut": pb.WhoAmIRequest(),
    "factor.prove Operator.ProveFactor": pb.ProveFactorRequest(),
    "factor.add Operator.AddKeyBegin": pb.WhoAmIRequest(),
    "factor.add Operator.AddKeyComplete": pb.AddKeyRequest(state=b"x", response="{}", label="k"),
    "access.request Operator.RequestRole": pb.RoleRequest(
        role="operator", zone="line-1", minutes=5, reason="r"
    ),
    "access.request Operator.RequestVerb": pb.VerbRequest(
        verb="frame.export", zone="line-1", content_sha256=bytes(32), summary="s"
    ),
    "access.take Operator.TakeApproval": pb.TakeApprovalRequest(
        verb="frame.export", content_sha256=bytes(32), gateways=["gateway.line-1.gw1"]
    ),
    "fleet.show Operator.FleetStatus": pb.ListRequest(),
    "device.list Operator.List": pb.ListRequest(),
    "device.show Operator.Show": pb.DeviceRequest(device="cam1"),
    "events.list Operator.Events": pb.EventsRequest(),
    "mask.show Operator.ShowMasks": pb.DeviceRequest(device="cam1"),
    "result.show Operator.Result": pb.ResultRequest(result_id="x"),
    "profile.show Operator.ListProfiles": pb.ListRequest(),
    "profile.show Operator.ShowProfile": pb.ProfileRequest(name="p"),
    "rollout.show Operator.ShowRollouts": pb.RolloutRequest(),
    "trust.show Operator.ListTpmCas": pb.ListRequest(),
    "zone.show Operator.ListZones": pb.ListRequest(),
    "policy.show Operator.ShowPolicy": pb.PolicyRequest(),
    "policy.show Operator.PolicyHistory": pb.ListRequest(),
    "access.list Operator.ListAccess": pb.ListAccessRequest(),
    "ca.show Operator.ShowCa": pb.ListRequest(),
    "auth.show Operator.CanI": pb.CanIRequest(verb="data.erase", zone="line-1"),
    "operator.list Operator.ListOperators": pb.ListRequest(),
    "audit.read Operator.ReadLog": pb.ReadLogRequest(limit=1),
    "audit.read Operator.ProveLog": pb.ProveLogRequest(index=0),
    "audit.read Operator.LogHead": pb.LogHeadRequest(),
    "policy.simulate Operator.SimulatePolicy": pb.SimulateRequest(files=OTHER),
    "device.invite Operator.Invite": pb.InviteRequest(
        kind="camera", name="new", zone="line-1", profile="simulated-camera"
    ),
    "device.quarantine Operator.Change": pb.ChangeRequest(device="cam1", event="quarantine"),
    "device.attest-now Operator.Change": pb.ChangeRequest(device="cam1", event="attest-now"),
    "device.release Operator.Change": pb.ChangeRequest(device="suspect", event="release"),
    "device.approve Operator.Change": pb.ChangeRequest(device="pending", event="approve"),
    "device.retire Operator.Change": pb.ChangeRequest(device="cam1", event="retire"),
    "device.lift Operator.Change": pb.ChangeRequest(device="held", event="release"),
    "device.replace Operator.Invite": pb.InviteRequest(
        kind="camera", name="cam1", zone="line-1", profile="simulated-camera", replace=True
    ),
    "maintenance.change Operator.ChangeMaintenance": pb.MaintenanceRequest(
        device="cam1", minutes=5, reason="r"
    ),
    "device.observe Operator.Observe": pb.DeviceRequest(device="cam1"),
    "evidence.replay Operator.Replay": pb.ReplayRequest(
        toml=profile_toml(Firmware("simulated-camera"), "simulated-camera").encode()
    ),
    "rollout.change Operator.StartRollout": pb.StartRolloutRequest(
        profile="none@1", canary=1, waves=[100], max_fail=1, soak_s=60
    ),
    "rollout.change Operator.ChangeRollout": pb.ChangeRolloutRequest(rollout="none", verb="pause"),
    "mask.set Operator.SetMasks": pb.SetMasksRequest(device="cam1", regions=b"[]"),
    "trust.add Operator.AddTpmCa": pb.TpmCa(certificate=authority()),
    "zone.set Operator.SetZone": pb.SetZoneRequest(zone="line-1", feed_silence="grace"),
    "zone.freeze Operator.FreezeZone": pb.FreezeZoneRequest(zone="line-1", frozen=True, reason="r"),
    "policy.apply Operator.ApplyPolicy": pb.ApplyPolicyRequest(files=OTHER, base=1, note="n"),
    "access.approve Operator.DecideAccess": pb.DecideRequest(id="00000001", approve=True),
    "operator.add Operator.AddOperator": pb.AddOperatorRequest(name="newcomer", roles=["viewer"]),
    "operator.change Operator.ChangeOperator": pb.ChangeOperatorRequest(
        name="witness", verb="enable"
    ),
    "operator.disable Operator.DisableOperator": pb.DisableOperatorRequest(
        name="witness", reason="r"
    ),
    "quorum.set Operator.SetQuorum": pb.QuorumRequest(value=2),
    "ca.rotate Operator.RotateCa": pb.RotateCaRequest(label="device-ca"),
    "verdict.show GatewayOperator.ListVerdicts": pb.ListVerdictsRequest(),
    "verdict.show GatewayOperator.WatchVerdicts": pb.ListVerdictsRequest(),
    "verdict.picture GatewayOperator.Picture": pb.PictureRequest(verdict_id="x"),
    "verdict.picture GatewayOperator.ShowVerdict": pb.PictureRequest(verdict_id="x"),
    "gateway.status GatewayOperator.Status": pb.ListRequest(),
    "receipt.show GatewayOperator.Receipts": pb.ReceiptsRequest(limit=1),
    "receipt.show GatewayOperator.Lineage": pb.LineageRequest(id="x"),
    "data.show GatewayOperator.DataStatus": pb.ListRequest(),
    "frame.export GatewayOperator.ExportFrame": pb.ExportRequest(
        id="x", reason="r", destination="d"
    ),
    "dataset.export GatewayOperator.ExportDataset": pb.ExportRequest(reason="r", destination="d"),
    "data.erase GatewayOperator.EraseData": pb.EraseRequest(camera="all", reason="r"),
}

OF_THIS_FLEET = {"profile.import Operator.ImportProfile", "signer.revoke Operator.RevokeSigner"}
"""Their content must be signed by the fleet it is sent to."""


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


class Walk:
    """A controller with a session for each role, machines in every state, and somebody who
    approves.
    """

    def __init__(self, running: Controller, fleet) -> None:
        self.running, self.fleet, self.store = running, fleet, running.store
        signer = fleet.signing["profile"]
        envelope = seal_envelope(
            PROFILE_TYPE,
            profile_toml(Firmware("simulated-camera"), "simulated-camera").encode(),
            signer.der,
            signer.sign,
        )
        of_fleet = (
            pb.ImportProfileRequest(envelope=envelope, for_rollout=True),
            pb.RevokeSignerRequest(certificate=signer.der, reason="r"),
        )
        self.requests = REQUESTS | dict(zip(sorted(OF_THIS_FLEET), of_fleet, strict=True))
        self.pairs = {role: signed_in(self.store, fleet, f"the-{role}", role) for role in Role}
        self.pairs["approver"] = signed_in(
            self.store, fleet, "approver", "engineer", "security", "admin"
        )
        add_person(self.store, fleet, "witness", "viewer")
        with self.store.writing() as tx:
            tx.settings.put("quorum", "2")
            for name, state in (
                ("cam1", State.TRUSTED),
                ("suspect", State.SUSPECT),
                ("pending", State.PENDING),
                ("held", State.QUARANTINED),
            ):
                tx.devices.add(camera_of(name, state, since_ms=tx.now_ms))
            for version, state in MODELS.items():
                model = Model(
                    digest=DIGESTS[version],
                    name="walk",
                    version=version,
                    signer="key",
                    anchor=MODEL_ANCHOR,
                    files={},
                    recipe=b"{}",
                    card=b"",
                    state=state,
                    registered_by="x",
                    approved_by=(),
                    at_ms=tx.now_ms,
                )
                tx.models.put(model)
                if state == ModelState.APPROVED:
                    pin_model(tx, fleet, "line-1", model, rollback=False)
            tx.requests.put(
                AccessRequest(
                    id="00000001",
                    kind=RequestKind.ROLE,
                    requester="the-viewer",
                    zone="*",
                    summary="s",
                    reason="r",
                    role="security",
                    minutes=5,
                    policy_sha256=tx.policies.current().sha256,
                    asked_ms=10**13,
                    expires_ms=2 * 10**13,
                )
            )

    def channel(self, who: str) -> grpc.aio.Channel:
        tls = grpc.ssl_channel_credentials(self.fleet.root.pem, *self.pairs[who])
        options = (
            ("grpc.ssl_target_name_override", "controller.plant.framegate"),
            ("grpc.use_local_subchannel_pool", 1),
        )
        return grpc.aio.secure_channel(self.running.fleet_address, tls, options=options)

    def sql(self, statement: str, *values: object) -> list[tuple]:
        """What somebody with the database's file does, or sees, behind the controller's back."""
        with contextlib.closing(sqlite3.connect(self.store.path)) as connection, connection:
            return connection.execute(statement, values).fetchall()

    def rows(self) -> tuple[int, ...]:
        tables = ("devices", "operators", "operator_sessions", "zones", "access_requests")
        return tuple(self.sql(f"SELECT count(*) FROM {table}")[0][0] for table in tables)

    def entries(self, event: str = "") -> list[dict]:
        with self.store.reading() as tx:
            found = tx.log.entries(
                EntryQuery(event=event), first=0, below=tx.log.size(), most=10_000
            )
        return [json.loads(e.entry) for e in found]


@pytest.fixture
async def walk(tmp_path):
    fleet = found_controller(tmp_path)
    running = Controller(ControllerSettings(state=tmp_path, join_port=0, fleet_port=0))
    await running.start()
    yield Walk(running, fleet)
    await running.stop(0)


async def answer(stub, method: str, request, metadata=DRY) -> tuple[Reason | None, str]:
    """(why it was refused, None where it was not; the hint)."""
    call = getattr(stub, method)(request, timeout=20, metadata=metadata)
    try:
        if hasattr(call, "read"):
            await call.read()
            call.cancel()
        else:
            await call
    except grpc.aio.AioRpcError as error:
        found = from_rpc_error(error, "")
        return found.reason, found.failures[0].hint
    return None, ""


CONTROLLER = sorted(k for k in {*REQUESTS, *OF_THIS_FLEET} if " Operator." in k)
GATEWAY = sorted(k for k in REQUESTS if " GatewayOperator." in k)


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
                    await approver.DecideAccess(
                        pb.DecideRequest(
                            id=re.findall(r"approve ([0-9a-f]{8})", hint)[0],
                            approve=True,
                            reason="walk",
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


@pytest.mark.parametrize("key", [k for k in CONTROLLER if "fresh" in verbs()[k.split()[0]].groups])
async def test_dangerous_verbs_ask_for_a_fresh_second_factor(walk, key):
    verb, method = key.split(" Operator.")
    role = next(r for r in Role if GOLDEN[verb][r] != "no")
    walk.pairs["tired"] = signed_in(walk.store, walk.fleet, "tired", role, factor_age_s=901)
    async with walk.channel("tired") as opened:
        assert (await answer(rpc.OperatorStub(opened), method, walk.requests[key]))[
            0
        ] == Reason.FACTOR_NEEDED


@pytest.mark.parametrize("key", [k for k in CONTROLLER if "change" in verbs()[k.split()[0]].groups])
async def test_a_frozen_zone_bars_changes_and_nothing_else(walk, key):
    with walk.store.writing() as tx:
        tx.zones.put(Zone(name="line-1", frozen=True, reason="audit", by="x"))
    verb, method = key.split(" Operator.")
    role = next(r for r in Role if GOLDEN[verb][r] != "no")
    async with walk.channel(role) as opened:
        stub = rpc.OperatorStub(opened)
        assert (await answer(stub, method, walk.requests[key]))[0] in {
            Reason.ZONE_FROZEN,
            Reason.APPROVAL_NEEDED,
        }
        assert (await answer(stub, "Show", pb.DeviceRequest(device="cam1")))[0] is None
    async with walk.channel(Role.OPERATOR) as opened:
        assert (
            await answer(
                rpc.OperatorStub(opened),
                "Change",
                pb.ChangeRequest(device="cam1", event="quarantine"),
            )
        )[0] is None


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


@pytest.mark.parametrize(
    "how", ["signed out", "disabled", "expired", "no session", "another's name"]
)
async def test_n80_a_certificate_alone_opens_nothing(walk, how):
    """The certificate lives eight hours; what counts is the session, which ends at once."""
    from framegate.identity.certificates import spki_of
    from framegate.wire import sha256

    pair = walk.pairs[Role.SECURITY]
    spki = sha256(spki_of(x509.load_pem_x509_certificates(pair[1])[0].public_key()))
    async with walk.channel(Role.SECURITY) as opened:
        stub = rpc.OperatorStub(opened)
        assert (await answer(stub, "WhoAmI", pb.WhoAmIRequest()))[0] is None
        if how == "no session":
            walk.sql("DELETE FROM operator_sessions WHERE spki_sha256 = ?", spki)
        with walk.store.writing() as tx:
            held = tx.people.session(spki)
            if how == "signed out":
                tx.people.put_session(replace(held, ended_ms=1))
            elif how == "expired":
                tx.people.put_session(replace(held, expires_ms=1))
            elif how == "another's name":
                tx.people.put_session(replace(held, operator="witness"))
            elif how == "disabled":
                tx.people.put(replace(tx.people.get("the-security"), enabled=False))
        for key in CONTROLLER:  # on the same connection, that was fine a moment ago
            assert (await answer(stub, key.split(" Operator.")[1], walk.requests[key]))[
                0
            ] == Reason.SIGNED_OUT, key


async def test_sign_out_and_disable_end_sessions_at_a_gateway_with_the_next_update(keys, tmp_path):
    gate = Gate(keys, tmp_path)
    await gate.operators.start()
    try:
        pair = operator_pair(keys, "anna")
        gate.view.apply(
            pb.TrustUpdate(
                revision=gate.view.revision + 1,
                access=access_update(keys, [operator_trust("anna", pair, "viewer")]),
            )
        )
        async with gate.channel(gate.operator_port, pair) as opened:
            stub = rpc.GatewayOperatorStub(opened)
            assert (await answer(stub, "Status", pb.ListRequest()))[0] is None
            watching = stub.WatchVerdicts(pb.ListVerdictsRequest())
            await watching.read()
            gate.view.apply(
                pb.TrustUpdate(revision=gate.view.revision + 1, access=access_update(keys, []))
            )
            assert (await answer(stub, "Status", pb.ListRequest()))[0] == Reason.SIGNED_OUT
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                for _ in range(10):
                    await asyncio.wait_for(watching.read(), 10)
            assert from_rpc_error(caught.value, "").reason == Reason.SIGNED_OUT
    finally:
        await gate.operators.stop(0)
        gate.receipts.close()


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
        with walk.store.reading() as tx:
            assert len(walk.entries()) == before and tx.devices.get(CAM).state == "trusted"


async def test_gateways_hear_of_a_sign_in_and_of_its_end_at_once(walk):
    from cryptography.hazmat.primitives.asymmetric import ec

    from framegate.identity.pem import private_pem

    secret, key = (
        add_person(walk.store, walk.fleet, "nina", "viewer"),
        ec.generate_private_key(ec.SECP256R1()),
    )
    csr = certificate_request(key)
    options = (
        ("grpc.ssl_target_name_override", "controller.plant.framegate"),
        ("grpc.use_local_subchannel_pool", 1),
    )

    def sessions(update: TrustUpdate) -> int:
        return sum(len(o.sessions) for o in update.access.operators if o.name == "nina")

    with walk.running.bus.feed("line-1") as feed:
        async with grpc.aio.secure_channel(
            walk.running.join_address,
            grpc.ssl_channel_credentials(walk.fleet.root.pem),
            options=options,
        ) as opened:
            made = await rpc.SignInStub(opened).Password(
                pb.PasswordRequest(
                    operator="nina", password=PASSWORD, code=totp_now(secret), csr=csr
                ),
                timeout=20,
            )
        assert sessions(await feed.next(5)) == 1
        walk.pairs["nina"] = (
            private_pem(key),
            x509.load_der_x509_certificate(made.certificate).public_bytes(Encoding.PEM)
            + walk.fleet.issuing["operator-ca"].pem,
        )
        async with walk.channel("nina") as opened:
            await rpc.OperatorStub(opened).SignOut(pb.WhoAmIRequest())
        assert sessions(await feed.next(5)) == 0


async def test_n119_one_approval_and_five_who_race_for_it(walk):
    """The act and the spending of its approval are one transaction: one of five wins."""
    request = pb.SetZoneRequest(zone="line-1", feed_silence="grace")
    async with walk.channel(Role.SECURITY) as opened, walk.channel("approver") as others:
        stub, approver = rpc.OperatorStub(opened), rpc.OperatorStub(others)
        _, hint = await answer(stub, "SetZone", request, ())
        identifier = re.findall(r"approve ([0-9a-f]{8})", hint)[0]
        decided = await asyncio.gather(
            *(
                answer(approver, "DecideAccess", pb.DecideRequest(id=identifier, approve=True), ())
                for _ in range(4)
            )
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
    verb = pb.VerbRequest(
        verb="frame.export", zone="line-1", content_sha256=bytes(range(32)), summary="s", reason="r"
    )
    async with walk.channel(Role.SECURITY) as opened, walk.channel("local") as others:
        stub = rpc.OperatorStub(opened)
        row = await stub.RequestVerb(verb)
        assert (
            await answer(
                rpc.OperatorStub(others),
                "DecideAccess",
                pb.DecideRequest(id=row.id, approve=True),
                (),
            )
        )[0] is None
        for gateways in (
            ["gateway.line-2.gw1"],
            ["gateway.line-1.gw1", "gateway.line-2.gw1"],
            [],
            ["junk"],
        ):
            taken = pb.TakeApprovalRequest(
                verb="frame.export", content_sha256=bytes(range(32)), gateways=gateways
            )
            assert (await answer(stub, "TakeApproval", taken, ()))[0] in {
                Reason.APPROVAL_NEEDED,
                Reason.USAGE,
            }
        good = pb.TakeApprovalRequest(
            verb="frame.export",
            content_sha256=bytes(range(32)),
            gateways=["gateway.line-1.gw1", "gateway.line-1.gw2"],
        )
        assert len((await stub.TakeApproval(good)).approvals) == 2
        assert (await answer(stub, "TakeApproval", good, ()))[0] == Reason.NOT_FOUND


def test_the_gateway_service_has_no_call_without_a_check():
    import inspect

    for method in pb.DESCRIPTOR.services_by_name["GatewayOperator"].methods:
        source = inspect.getsource(getattr(GatewayOperatorService, method.name))
        assert "_operator(" in source or "_authorised(" in source, method.name
