"""What stands now in the place of what is asked for, as a message of the same type.

Whoever approves is shown the difference between the two, worked out where they read it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from types import MappingProxyType
from typing import Any, Final

from google.protobuf.message import Message

from framegate.access.policy_statement import PolicyStatement
from framegate.errors import FramegateError
from framegate.federation.receipts import SiteStanding
from framegate.identity.names import Kind
from framegate.ima.allowlist import allowlist_text
from framegate.playbooks.parse import parse_playbook
from framegate.playbooks.statement import PlaybookStatement
from framegate.profile.model import PROFILE_TYPE, parse_profile
from framegate.signed.dsse import parse_envelope
from framegate.signed.mask import MaskStatement
from framegate.signed.part import PartStatement
from framegate.signed.part_rules import rules_of
from framegate_controller.inspection.parts import golden_image
from framegate_controller.people.operators import quorum
from framegate_controller.record.goals import goals_text
from framegate_controller.store.ports import Transaction
from framegate_controller.verbs.people import Change
from framegate_proto.v1 import framegate_pb2 as pb


def in_force(tx: Transaction, verb: str, asked: Message) -> Message | None:
    """The message that would ask for what is in force now; None where nothing stands there, or
    where the verb replaces nothing.
    """
    read = _READERS.get(verb)
    try:
        return None if read is None else read(tx, asked)
    except FramegateError:
        return None  # what is there cannot be read: there is nothing to compare with


def _policy(tx: Transaction, _asked: pb.ApplyPolicyRequest) -> Message | None:
    current = tx.policies.current()
    if current is None:
        return None
    envelope = parse_envelope(current.envelope, PolicyStatement.TYPE)
    texts = PolicyStatement.parse_payload(envelope.payload).texts
    files = [pb.PolicyFile(name=name, text=text) for name, text in texts.items()]
    return pb.ApplyPolicyRequest(files=files, base=current.version, note=current.note)


def _profile(tx: Transaction, asked: pb.ImportProfileRequest) -> Message | None:
    claimed = parse_profile(parse_envelope(asked.envelope, PROFILE_TYPE).payload)
    current = tx.profiles.in_force(claimed.name)
    if current is None:
        return None
    rules = parse_profile(parse_envelope(current.envelope, PROFILE_TYPE).payload).ima
    kept = [tx.evidence.allowlist(d) for d in (rules.allowlists if rules is not None else ())]
    lists = [allowlist_text(a.files()) for a in kept if a is not None]
    return pb.ImportProfileRequest(envelope=current.envelope, allowlists=lists)


def _part(tx: Transaction, asked: pb.AddPartRequest) -> Message | None:
    part = tx.parts.get(asked.part_type)
    if part is None or part.removed:
        return None
    said = PartStatement.parse_payload(parse_envelope(part.envelope, PartStatement.TYPE).payload)
    return pb.AddPartRequest(
        part_type=said.part_type,
        goldens=[golden_image(tx, bytes.fromhex(g)) for g in said.goldens],
        rules=json.dumps(rules_of(said)).encode(),
        source=said.source,
    )


def _playbook(tx: Transaction, asked: pb.EnablePlaybookRequest) -> Message | None:
    kept = tx.playbooks.newest(parse_playbook(asked.text).name)
    if kept is None or kept.ended:
        return None
    payload = parse_envelope(kept.envelope, PlaybookStatement.TYPE).payload
    text = PlaybookStatement.parse_payload(payload).text
    return pb.EnablePlaybookRequest(text=text, base=asked.base, note=kept.note)


def _masks(tx: Transaction, asked: pb.SetMasksRequest) -> Message | None:
    masks = tx.masks.get(tx.devices.find(asked.device, Kind.CAMERA).id)
    if masks is None:
        return None
    said = MaskStatement.parse_payload(parse_envelope(masks.envelope, MaskStatement.TYPE).payload)
    return pb.SetMasksRequest(device=asked.device, regions=json.dumps(said.regions).encode())


def _zone(tx: Transaction, asked: pb.SetZoneRequest) -> Message | None:
    zone = tx.zones.get(asked.zone)
    said = "grace" if zone.grace else "close"
    return pb.SetZoneRequest(
        zone=zone.name, feed_silence=said, remark=zone.remark, set_remark=asked.set_remark
    )


def _pin(tx: Transaction, asked: pb.ModelRequest) -> Message | None:
    pin = tx.models.pin(asked.zone)
    return None if pin is None else pb.ModelRequest(digest=pin.digest, zone=pin.zone)


def _operator(tx: Transaction, asked: pb.ChangeOperatorRequest) -> Message | None:
    if asked.verb != Change.ROLES:
        return None
    roles = [str(r) for r in tx.people.find(asked.name).roles]
    return pb.ChangeOperatorRequest(name=asked.name, verb=asked.verb, roles=roles)


def _quorum(tx: Transaction, _asked: pb.QuorumRequest) -> Message | None:
    return pb.QuorumRequest(value=quorum(tx))


def _goals(tx: Transaction, _asked: pb.SetGoalsRequest) -> Message | None:
    text = goals_text(tx)
    return pb.SetGoalsRequest(text=text) if text else None


def _site(tx: Transaction, asked: pb.AddSiteRequest) -> Message | None:
    site = tx.sites.get(asked.name)
    if site is None or site.standing is not SiteStanding.TRUSTED:
        return None
    return pb.AddSiteRequest(name=site.name, endpoint=site.endpoint, bundle=site.bundle)


Reader = Callable[[Transaction, Any], Message | None]
_READERS: Final = MappingProxyType[str, Reader](
    {
        "policy.apply": _policy,
        "profile.import": _profile,
        "part.add": _part,
        "mask.set": _masks,
        "playbook.enable": _playbook,
        "zone.set": _zone,
        "model.promote": _pin,
        "model.rollback": _pin,
        "operator.change": _operator,
        "quorum.set": _quorum,
        "goal.set": _goals,
        "site.add": _site,
    }
)
