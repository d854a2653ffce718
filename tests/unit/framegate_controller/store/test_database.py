"""The store: values come out as they went in, and transactions are whole or nothing."""

import dataclasses
import types
import typing
from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.exc import OperationalError

from framegate.errors import Reason, Refused
from framegate.identity.names import DeviceId, Kind
from framegate.ima.replay import ImaPrefix
from framegate.machines.lifecycle import State
from framegate.machines.rollout import MAX_SOAK_S, Plan, Seen
from framegate.record.fleet_events import ZoneThawed
from framegate.record.merkle import Frontier
from framegate.registry.device import CameraMasks, Device, GatewayProcess, TpmMaker
from framegate.registry.evidence import KeptEvidence, KeptResult
from framegate.registry.model import Model, Part, ReceiptBatchEntry, ZonePin
from framegate.registry.operator import Operator, OperatorSession, SecurityKey
from framegate.registry.request import AccessRequest
from framegate.registry.rollout import (
    ProfileInForce,
    ProfileRevision,
    RevokedSigner,
    RolloutDevice,
    RolloutRecord,
)
from framegate.registry.ticket import Ticket
from framegate.registry.zone import AppliedPolicy, KeptDecision, Zone
from framegate_controller.store.database import open_registry
from framegate_controller.store.ports import EntryQuery, Moved

INTEGERS = st.integers(0, 2**63 - 1)


TEXTS = st.text(st.characters(codec="utf-8"), max_size=40)


BYTES = st.binary(max_size=70)


IDS = st.text("0123456789abcdef", min_size=8, max_size=16)


PLANS = st.builds(
    Plan,
    canary=st.integers(0, 50),
    waves=st.sets(st.integers(1, 99), max_size=4).map(lambda w: (*sorted(w), 100)),
    max_fail=st.integers(1, 9),
    soak_s=st.integers(0, MAX_SOAK_S),
    shadow=st.booleans(),
)


PLAIN = {
    str: TEXTS,
    int: INTEGERS,
    bytes: BYTES,
    bool: st.booleans(),
    DeviceId: TEXTS.map(DeviceId),
    Plan: PLANS,
}


def any_of(hint):
    """Every value of a type as the registry's values are made of."""
    if hint in PLAIN:
        return PLAIN[hint]
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is types.UnionType:
        return st.one_of([st.none() if a is type(None) else any_of(a) for a in arguments])
    if origin is tuple:
        inner = any_of(arguments[0])
        return (
            st.lists(inner, max_size=3).map(tuple)
            if arguments[-1] is Ellipsis
            else st.tuples(*map(any_of, arguments))
        )
    if origin is Mapping:
        return st.dictionaries(any_of(arguments[0]), any_of(arguments[1]), max_size=3).map(
            MappingProxyType
        )
    if issubclass(hint, Enum):
        return st.sampled_from(hint)
    hints = typing.get_type_hints(hint)
    named = (
        {f.name for f in dataclasses.fields(hint)}
        if dataclasses.is_dataclass(hint)
        else set(hint._fields)
    )
    return st.builds(
        hint,
        **{
            n: IDS if n in {"id", "digest"} and h is str else any_of(h)
            for n, h in hints.items()
            if n in named
        },
    )


KEPT = {
    Device: (lambda tx, v: tx.devices.add(v), lambda tx, v: tx.devices.get(v.id)),
    Ticket: (lambda tx, v: tx.tickets.add(v), lambda tx, v: tx.tickets.get(v.code_sha256)),
    TpmMaker: (lambda tx, v: tx.makers.add(v), lambda tx, v: tx.makers.get(v.sha256)),
    GatewayProcess: (
        lambda tx, v: tx.gateways.replace(v.host, [v]),
        lambda tx, v: tx.gateways.of_host(v.host)[0],
    ),
    CameraMasks: (lambda tx, v: tx.masks.put(v), lambda tx, v: tx.masks.get(v.device)),
    KeptEvidence: (lambda tx, v: tx.evidence.add(v), lambda tx, v: tx.evidence.get(v.id)),
    KeptResult: (lambda tx, v: tx.evidence.add_result(v), lambda tx, v: tx.evidence.result(v.id)),
    ProfileInForce: (
        lambda tx, v: tx.profiles.put_in_force(v),
        lambda tx, v: tx.profiles.in_force(v.name),
    ),
    ProfileRevision: (
        lambda tx, v: tx.profiles.add_revision(v),
        lambda tx, v: tx.profiles.revision(v.name, v.revision),
    ),
    RevokedSigner: (
        lambda tx, v: tx.profiles.revoke(v),
        lambda tx, v: tx.profiles.revoked(v.sha256),
    ),
    RolloutRecord: (lambda tx, v: tx.rollouts.put(v), lambda tx, v: tx.rollouts.find(v.id)),
    RolloutDevice: (
        lambda tx, v: tx.rollouts.put_device(v),
        lambda tx, v: tx.rollouts.device(v.rollout, v.device),
    ),
    Operator: (lambda tx, v: tx.people.add(v), lambda tx, v: tx.people.get(v.name)),
    SecurityKey: (lambda tx, v: tx.people.put_key(v), lambda tx, v: tx.people.key(v.credential)),
    OperatorSession: (
        lambda tx, v: tx.people.put_session(v),
        lambda tx, v: tx.people.session(v.spki_sha256),
    ),
    AccessRequest: (lambda tx, v: tx.requests.put(v), lambda tx, v: tx.requests.find(v.id)),
    AppliedPolicy: (lambda tx, v: tx.policies.add(v), lambda tx, v: tx.policies.version(v.version)),
    KeptDecision: (
        lambda tx, v: tx.policies.keep_decision(v),
        lambda tx, v: tx.policies.decisions(v.last_ms)[0],
    ),
    Zone: (lambda tx, v: tx.zones.put(v), lambda tx, v: tx.zones.get(v.name)),
    Model: (lambda tx, v: tx.models.put(v), lambda tx, v: tx.models.find(v.digest)),
    ZonePin: (lambda tx, v: tx.models.add_pin(v), lambda tx, v: tx.models.pins(digest=v.digest)[0]),
    Part: (lambda tx, v: tx.parts.put(v), lambda tx, v: tx.parts.get(v.part_type)),
    ReceiptBatchEntry: (
        lambda tx, v: tx.receipts.add(v),
        lambda tx, v: tx.receipts.batch(v.gateway, v.store, v.number),
    ),
}


class TakenBack(Exception):
    """Undoes a transaction."""


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    registry = open_registry(tmp_path_factory.mktemp("store") / "registry.db", lambda: 1_000)
    yield registry
    registry.close()


@pytest.mark.parametrize("cls", KEPT, ids=lambda c: c.__name__)
@given(data=st.data())
@pytest.mark.slow
def test_a_value_comes_out_as_it_went_in(store, cls, data):
    value = data.draw(any_of(cls))
    put, get = KEPT[cls]
    with pytest.raises(TakenBack), store.writing() as tx:
        put(tx, value)
        assert get(tx, value) == value
        raise TakenBack


@given(before=any_of(Device), after=any_of(Device))
def test_a_changed_device_comes_out_as_it_was_put_back(store, before, after):
    before = dataclasses.replace(before, version=min(before.version, 2**62))
    with pytest.raises(TakenBack), store.writing() as tx:
        tx.devices.add(before)
        put = tx.devices.put(dataclasses.replace(after, id=before.id, version=before.version))
        assert put == dataclasses.replace(after, id=before.id, version=before.version + 1)
        assert tx.devices.get(before.id) == put
        raise TakenBack


@pytest.mark.parametrize(
    "cls",
    [
        Ticket,
        ProfileInForce,
        RolloutRecord,
        RolloutDevice,
        SecurityKey,
        OperatorSession,
        AccessRequest,
        Zone,
        Model,
        Part,
    ],
    ids=lambda c: c.__name__,
)
@given(data=st.data())
@pytest.mark.slow
def test_a_changed_value_takes_the_place_of_the_one_before(store, cls, data):
    keys = {
        Ticket: ["code_sha256"],
        ProfileInForce: ["name"],
        RolloutDevice: ["rollout", "device"],
        SecurityKey: ["credential"],
        OperatorSession: ["spki_sha256"],
        Zone: ["name"],
        Model: ["digest"],
        Part: ["part_type"],
    }.get(cls, ["id"])
    before, drawn = data.draw(any_of(cls)), data.draw(any_of(cls))
    after = dataclasses.replace(drawn, **{k: getattr(before, k) for k in keys})
    put, get = KEPT[cls]
    with pytest.raises(TakenBack), store.writing() as tx:
        put(tx, before)
        (tx.tickets.put if cls is Ticket else lambda v: put(tx, v))(after)
        assert get(tx, after) == after
        raise TakenBack


@given(st.lists(st.binary(min_size=1, max_size=30), min_size=1, max_size=5), st.integers(0, 3))
def test_an_ima_list_comes_out_in_one_piece_or_not_at_all(store, pieces, missing):
    with pytest.raises(TakenBack), store.writing() as tx:
        for start, piece in enumerate(pieces):
            tx.evidence.keep_ima("camera.line-1.cam1", 7, 1, start, 1, piece)
        assert tx.evidence.ima_list("camera.line-1.cam1", 7, 1, len(pieces)) == b"".join(pieces)
        assert tx.evidence.ima_list("camera.line-1.cam1", 7, 1, len(pieces) + 1 + missing) == b""
        raise TakenBack


@given(BYTES, BYTES)
def test_logs_images_and_settings_come_out_as_they_went_in(store, log, image):
    with pytest.raises(TakenBack), store.writing() as tx:
        tx.evidence.keep_boot_log(b"d" * 32, log)
        tx.evidence.keep_boot_log(b"d" * 32, log)
        assert tx.evidence.boot_log(b"d" * 32) == log
        assert tx.parts.golden(bytes.fromhex(tx.parts.keep_golden(image))) == image
        tx.settings.put("quorum", "2")
        tx.settings.put("quorum", "3")
        assert tx.settings.get("quorum") == "3"
        tx.settings.remove("quorum")
        assert tx.settings.get("quorum") is None
        raise TakenBack


CAMERA = Device(
    id=DeviceId("camera.line-1.cam1"),
    kind=Kind.CAMERA,
    zone="line-1",
    name="cam1",
    state=State.INVITED,
    since_ms=1,
    profile="p",
)


def test_a_device_that_somebody_else_changed_is_not_put_back(tmp_path):
    store = open_registry(tmp_path / "registry.db", lambda: 1_000)
    with store.writing() as tx:
        tx.devices.add(CAMERA)
    with store.reading() as tx:
        looked = tx.devices.get(CAMERA.id)
    assert looked == CAMERA
    with store.writing() as tx:
        tx.devices.put(dataclasses.replace(looked, state=State.QUARANTINED))
    with pytest.raises(Moved) as refused, store.writing() as tx:
        tx.devices.put(dataclasses.replace(looked, state=State.TRUSTED))
    assert refused.value.reason == Reason.CONFLICT
    with store.reading() as tx:
        device = tx.devices.get(CAMERA.id)
    assert (device.state, device.version) == (State.QUARANTINED, 1)
    with pytest.raises(Moved), store.writing() as tx:  # and one that is gone is no other's
        tx.devices.remove(CAMERA.id)
        tx.devices.put(device)
    store.close()


WRITES = {
    "a device": lambda tx: tx.devices.add(CAMERA),
    "a changed device": lambda tx: tx.devices.put(CAMERA),
    "an event": lambda tx: tx.record(ZoneThawed(zone="line-1", why="w")),
    "the revision": lambda tx: tx.raise_revision(),
    "the firmware revision": lambda tx: tx.raise_firmware_revision(),
    "a zone": lambda tx: tx.zones.put(Zone(name="line-1")),
    "a spent challenge": lambda tx: tx.challenges.spend(b"c", 2),
    "a setting": lambda tx: tx.settings.remove("quorum"),
}


@pytest.mark.parametrize("what", WRITES)
def test_what_is_written_in_a_snapshot_is_refused_by_the_database(store, what):
    with pytest.raises(OperationalError, match="readonly"), store.reading() as tx:
        WRITES[what](tx)


def test_an_exception_undoes_all_of_a_transaction_and_the_record_goes_on_where_it_was(tmp_path):
    store = open_registry(tmp_path / "registry.db", lambda: 1_000)
    with store.writing() as tx:
        tx.record(ZoneThawed(zone="line-1", why="first"))
    with store.reading() as tx:
        before = tx.revision(), tx.firmware_revision(), tx.log.size(), tx.log.root()
    with pytest.raises(TakenBack), store.writing() as tx:
        tx.devices.add(CAMERA)
        tx.record(ZoneThawed(zone="line-1", why="never"))
        tx.raise_revision()
        tx.raise_firmware_revision()
        raise TakenBack
    with store.reading() as tx:
        assert tx.devices.get(CAMERA.id) is None
        assert (tx.revision(), tx.firmware_revision(), tx.log.size(), tx.log.root()) == before
    with store.writing() as tx:
        tx.record(ZoneThawed(zone="line-1", why="second"))
    with store.reading() as tx:
        whys = [e.entry for e in tx.log.entries(EntryQuery(), first=0, below=9, most=9)]
        assert [b"first" in whys[0], b"second" in whys[1], len(whys)] == [True, True, 2]
        assert tx.log.root() == Frontier.resume(2, tx.log.node).root.hex()
    store.close()


def test_reads_see_the_transactions_own_writes_and_snapshots_see_none_of_them(tmp_path):
    store = open_registry(tmp_path / "registry.db", lambda: 1_000)
    with store.writing() as tx:
        tx.devices.add(CAMERA)
        assert tx.devices.find("cam1") == CAMERA
        with store.reading() as other:
            assert other.devices.get(CAMERA.id) is None
    store.close()


def test_nothing_can_be_remembered_under_a_firmware_revision_that_may_be_taken_back(store):
    with pytest.raises(TakenBack), store.writing() as tx:
        assert tx.raise_firmware_revision() == 1
        assert tx.firmware_revision() == 0
        raise TakenBack
    with store.reading() as tx:
        assert tx.firmware_revision() == 0
    with store.writing() as tx:
        tx.raise_firmware_revision()
    with store.reading() as tx:
        assert tx.firmware_revision() == 1


def test_a_challenge_is_spent_once(store):
    with store.writing() as tx:
        tx.challenges.spend(b"once", 2_000)
    with pytest.raises(Refused) as refused, store.writing() as tx:
        tx.challenges.spend(b"once", 2_000)
    assert refused.value.reason == Reason.SESSION_UNKNOWN


def test_a_rollouts_devices_come_with_their_state(store):
    with pytest.raises(TakenBack), store.writing() as tx:
        tx.devices.add(CAMERA)
        seen = RolloutDevice(rollout="r", device=CAMERA.id, step=1, seen=Seen.FAILED)
        tx.rollouts.put_device(seen)
        assert tx.rollouts.devices("r") == [(seen, State.INVITED)]
        assert (tx.rollouts.failed("r", 0), tx.rollouts.failed("r", 1)) == (0, 1)
        tx.rollouts.seen_anew("r", Seen.FAILED, Seen.WAITING)
        assert tx.rollouts.failed("r", 1) == 0
        raise TakenBack


def test_a_prefix_that_went_in_is_a_prefix_that_comes_out(store):
    prefix = ImaPrefix(3, 1, b"\x01" * 32, 7, 1)
    with pytest.raises(TakenBack), store.writing() as tx:
        tx.devices.add(
            dataclasses.replace(CAMERA, baseline=dataclasses.replace(CAMERA.baseline, ima=prefix))
        )
        assert isinstance(tx.devices.get(CAMERA.id).baseline.ima, ImaPrefix)
        raise TakenBack
