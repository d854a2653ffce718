"""A running controller with somebody signed in for each role; calls of it, dry or in earnest."""

import contextlib
import json
import sqlite3

import grpc
import pytest

from framegate.access.verbs import Role
from framegate.errors import Reason
from framegate.machines.lifecycle import State
from framegate.machines.model import ModelState
from framegate.machines.request import RequestKind
from framegate.ocsf.logged import OcsfVersion
from framegate.profile.model import PROFILE_TYPE
from framegate.record.incident_events import IncidentOpened
from framegate.registry.model import Model
from framegate.registry.request import AccessRequest
from framegate.registry.sink import Sink, SinkKind
from framegate.signed.dsse import seal_envelope
from framegate_controller.inspection.models import pin_model
from framegate_controller.server import Controller
from framegate_controller.settings import ControllerSettings
from framegate_controller.store.ports import EntryQuery
from framegate_proto.edge import from_rpc_error
from framegate_proto.v1 import framegate_pb2 as pb
from framegate_simulators.fixtures.access import (
    add_person,
    camera_of,
    signed_in,
)
from framegate_simulators.machine.boot import Firmware, profile_toml
from support.founded import found_controller
from support.verb_requests import DIGESTS, MODEL_ANCHOR, MODELS, OF_THIS_FLEET, REQUESTS, ROLE

DRY = (("framegate-dry-run", "1"), ("framegate-reason-bin", b"walking the table"))


CAM = "camera.line-1.cam1"


class Walk:
    """A controller with a session for each role, machines in every state, and somebody who
    approves.
    """

    def __init__(self, running: Controller, fleet) -> None:
        self.running, self.fleet, self.store = running, fleet, running.store
        self._looking = sqlite3.connect(self.store.path, isolation_level=None)
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
            tx.sinks.put(
                Sink(
                    name="walk",
                    kind=SinkKind.WEBHOOK,
                    address="http://127.0.0.1:9",
                    channel="",
                    version=OcsfVersion.V1_8,
                    first=0,
                    confirmed=0,
                )
            )
            tx.requests.put(
                AccessRequest(
                    id="00000001",
                    kind=RequestKind.ROLE,
                    requester="the-viewer",
                    zone="*",
                    summary=f"access.request: {ROLE.summary}",
                    reason="r",
                    content_type=ROLE.kind,
                    content_sha256=ROLE.digest("access.request"),
                    role="security",
                    minutes=5,
                    policy_sha256=tx.policies.current().sha256,
                    asked_ms=10**13,
                    expires_ms=2 * 10**13,
                )
            )
            tx.requests.keep_content("00000001", ROLE.body)
            opened = IncidentOpened(
                device=CAM,
                about=CAM,
                title="frame-frozen",
                trigger=0,
                priority=4,
                detected_ms=tx.now_ms,
                drill=False,
            )
            number = tx.record(opened, by="controller")
        for request in self.requests.values():
            if "incident" in request.DESCRIPTOR.fields_by_name:
                request.incident = number

    def channel(self, who: str) -> grpc.aio.Channel:
        tls = grpc.ssl_channel_credentials(self.fleet.root.pem, *self.pairs[who])
        options = (
            ("grpc.ssl_target_name_override", "controller.plant.framegate"),
            ("grpc.use_local_subchannel_pool", 1),
        )
        return grpc.aio.secure_channel(self.running.fleet_address, tls, options=options)

    def close(self) -> None:
        self._looking.close()

    def sql(self, statement: str, *values: object) -> list[tuple]:
        """What somebody with the database's file does, or sees, behind the controller's back."""
        with contextlib.closing(sqlite3.connect(self.store.path)) as connection, connection:
            return connection.execute(statement, values).fetchall()

    def rows(self) -> tuple[int, ...]:
        tables = ("devices", "operators", "operator_sessions", "zones", "access_requests")
        counts = ", ".join(f"(SELECT count(*) FROM {table})" for table in tables)
        return self._looking.execute(f"SELECT {counts}").fetchone()

    def entries(self, event: str = "") -> list[dict]:
        with self.store.reading() as tx:
            stored = tx.log.entries(
                EntryQuery(event=event), first=0, below=tx.log.size(), most=10_000
            )
        return [json.loads(e.entry) for e in stored]


@pytest.fixture
async def walk(tmp_path):
    """The controller and its people, of this test alone."""
    fleet = found_controller(tmp_path)
    running = Controller(ControllerSettings(state=tmp_path, join_port=0, fleet_port=0))
    await running.start()
    started = Walk(running, fleet)
    yield started
    started.close()
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
        refusal = from_rpc_error(error, "")
        return refusal.reason, refusal.failures[0].hint
    return None, ""
