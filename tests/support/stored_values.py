"""Every kind of value that a registry keeps, as hypothesis makes them; how each is put and got."""

import dataclasses
import types
import typing
from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType

from hypothesis import strategies as st

from framegate.identity.names import DeviceId
from framegate.machines.rollout import MAX_SOAK_S, Plan
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

INTEGERS = st.integers(0, 2**63 - 1)


# what both kinds of database take: no NUL, and no more than the shortest column of free text
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=16)


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


PUT_AGAIN = {
    Ticket: ["code_sha256"],
    ProfileInForce: ["name"],
    RolloutRecord: ["id"],
    RolloutDevice: ["rollout", "device"],
    SecurityKey: ["credential"],
    OperatorSession: ["spki_sha256"],
    AccessRequest: ["id"],
    Zone: ["name"],
    Model: ["digest"],
    Part: ["part_type"],
}
"""Values that are changed in their place, by what tells one from another."""


def put_again(tx, cls, value) -> None:
    """Keep a changed value."""
    (tx.tickets.put if cls is Ticket else lambda v: KEPT[cls][0](tx, v))(value)
