"""The log of decisions as operators read it, and a release that is approved into it."""

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from framegate.errors import Malformed, Reason
from framegate.identity.certificates import spki_of
from framegate.record.transparency_events import ReleaseApproved
from framegate.signed.release import MAX_BUNDLE_BYTES, Provenance, sign_release
from framegate.transparency.decision import Kind, parse_decision
from framegate.transparency.note import parse_note
from framegate.wire import sha256
from framegate_controller.rpc import decisions as rows
from framegate_proto.v1 import framegate_pb2 as pb
from framegate_simulators.fixtures.verbs import AllowedCaller
from support.refusals import refusal

KEY = ec.generate_private_key(ec.SECP256R1())
BUNDLE = sign_release(Provenance("1.2.0", "ab" * 20, {}, {"a.deb": bytes(32)}), KEY)


@pytest.fixture
def desk(bench):
    return AllowedCaller(bench.store, bench.fleet, rows.ROWS)


def request(bundle: bytes = BUNDLE, key: ec.EllipticCurvePrivateKey = KEY):
    return pb.ApproveReleaseRequest(bundle=bundle, key=spki_of(key.public_key()))


def test_a_release_is_approved_once_and_stands_in_the_log(desk, bench):
    row = desk.ask("ApproveRelease", request())
    assert (row.version, row.sha256) == ("1.2.0", sha256(BUNDLE).hex())
    entries = [
        parse_decision(e) for e in desk.ask("ReadDecisions", pb.ReadDecisionsRequest()).entries
    ]
    assert (entries[-1].kind, entries[-1].subject) == (Kind.RELEASE, "1.2.0")
    assert entries[-1].sha256 == row.sha256
    (event,) = bench.events(ReleaseApproved.DECLARED.names[0])
    assert event["members"] == {"release": "1.2.0", "digest": row.sha256, "commit": "ab" * 20}
    assert refusal(desk, "ApproveRelease", request()) == Reason.CONFLICT


def test_a_release_of_somebody_else_or_an_edited_one_asks_nobody(desk):
    other = ec.generate_private_key(ec.SECP256R1())
    assert refusal(desk, "ApproveRelease", request(key=other)) == Reason.SIGNATURE
    assert refusal(desk, "ApproveRelease", request(b"{}")) == Reason.ENVELOPE
    assert (
        refusal(desk, "ApproveRelease", request(b"x" * (MAX_BUNDLE_BYTES + 1))) == Reason.TOO_LARGE
    )
    no_key = pb.ApproveReleaseRequest(bundle=BUNDLE, key=b"key")
    assert refusal(desk, "ApproveRelease", no_key) == Reason.USAGE


def test_the_log_is_read_with_its_present_head_and_from_any_entry_on(desk, decided):
    whole = desk.ask("ReadDecisions", pb.ReadDecisionsRequest())
    assert len(whole.entries) == 3 and not whole.published
    assert whole.key == decided.key.text
    decided.cosign()
    later = desk.ask("ReadDecisions", pb.ReadDecisionsRequest(first=2))
    assert list(later.entries) == list(whole.entries)[2:]
    assert len(parse_note(later.published).signatures) == 3
    assert [w.size for w in later.witnesses] == [3, 3]
    assert not desk.ask("ReadDecisions", pb.ReadDecisionsRequest(first=2**62)).entries


def test_a_machine_asks_for_known_kinds_and_no_more_than_there_are():
    wanted = [pb.DecisionName(kind="policy", sha256="00" * 32)]
    assert rows.to_named(wanted)[0].kind == Kind.POLICY
    for bad in ([pb.DecisionName(kind="other", sha256="00")], wanted * (rows.MAX_WANTED + 1)):
        with pytest.raises(Malformed):
            rows.to_named(bad)
