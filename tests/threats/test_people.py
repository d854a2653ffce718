"""N80, N119 at a gateway: people who do not count there, and approvals of something else."""

import time

import pytest

from framegate.access.policy import default_files, parse_policy
from framegate.errors import FramegateError, Reason
from framegate.identity.certificates import from_ms
from framegate_gateway.trust.access import AccessView
from framegate_proto.v1 import framegate_pb2 as pb
from framegate_simulators.fixtures.access import access_update, operator_pair, operator_trust
from support.refusals import refused


def at_gateway(access_view, keys, pair, request, *, verb="frame.export", **how):
    from cryptography.x509 import load_pem_x509_certificates

    from framegate.identity.certificates import Purpose, verify_certificate

    now = time.time_ns() // 1_000_000
    certificate = load_pem_x509_certificates(pair[1])[0]
    identity = verify_certificate(
        certificate, Purpose.OPERATOR, keys.intermediates, keys.root.certificate, from_ms(now)
    )
    caller = access_view.caller(identity, "ipv4:192.0.2.1:5", "line-1", how.pop("at", now))
    return access_view.authorise(
        caller,
        verb,
        request,
        zone="line-1",
        gateway="gateway.line-1.gw1",
        now_ms=how.pop("now", now),
    )


def approved(keys, request, verb="frame.export", **changed) -> bytes:
    from framegate.access.approvals import ApprovalStatement, content_digest

    bare = type(request)()
    bare.CopyFrom(request)
    bare.ClearField("approval")
    members = {
        "request_id": "0a1b2c3d",
        "verb": verb,
        "zone": "line-1",
        "content_sha256": content_digest(
            verb, type(request).DESCRIPTOR.name, bare.SerializeToString(deterministic=True)
        ).hex(),
        "requester": "sara",
        "approvers": ("sven",),
        "policy_sha256": parse_policy(default_files()).sha256.hex(),
        "gateway": "gateway.line-1.gw1",
        "reason": "r",
        "issued_at_ms": time.time_ns() // 1_000_000,
        **changed,
    }
    return ApprovalStatement(**members).seal(
        keys.signing["approval"].der, keys.signing["approval"].sign
    )


@pytest.fixture
def people(access_view, keys):
    pair = operator_pair(keys, "sara")
    trust = [
        operator_trust("sara", pair, "security"),
        pb.OperatorTrust(name="sven", roles=["security"]),
    ]
    access_view.apply(access_update(keys, trust, quorum=2))
    return pair, trust


def test_n119_at_a_gateway_an_approval_counts_once_and_for_exactly_this(
    access_view, keys, people, tmp_path
):
    pair, _ = people
    request = pb.ExportRequest(id="v1", reason="claim", destination="customer")
    assert refused(lambda: at_gateway(access_view, keys, pair, request)) == Reason.APPROVAL_NEEDED
    request.approval = approved(keys, request)
    other = pb.ExportRequest(
        id="v2", reason="claim", destination="customer", approval=request.approval
    )
    assert refused(lambda: at_gateway(access_view, keys, pair, other)) == Reason.APPROVAL_NEEDED
    assert at_gateway(access_view, keys, pair, request).approved_by == ("sven",)
    assert refused(lambda: at_gateway(access_view, keys, pair, request)) == Reason.APPROVAL_NEEDED
    again = AccessView(tmp_path, lambda: keys.root.certificate)  # the gateway is restarted
    again.apply(access_update(keys, people[1], quorum=2))
    assert refused(lambda: at_gateway(again, keys, pair, request)) == Reason.APPROVAL_NEEDED


def test_n119_at_a_gateway_an_approver_who_is_disabled_meanwhile_counts_no_more(
    access_view, keys, people
):
    pair, trust = people
    request = pb.ExportRequest(id="v1", reason="claim", destination="customer")
    request.approval = approved(keys, request)
    access_view.apply(access_update(keys, trust[:1], quorum=2))
    assert refused(lambda: at_gateway(access_view, keys, pair, request)) == Reason.APPROVAL_NEEDED


@pytest.mark.parametrize(
    "changed",
    [
        {"requester": "eve"},
        {"gateway": "gateway.line-1.gw2"},
        {"policy_sha256": "00" * 32},
        {"approvers": ("sara",)},
        {"issued_at_ms": 1},
    ],
    ids=str,
)
def test_n119_at_a_gateway_approvals_of_something_else(access_view, keys, people, changed):
    request = pb.ExportRequest(id="v1", reason="claim", destination="customer")
    request.approval = approved(keys, request, **changed)
    with pytest.raises(FramegateError):
        at_gateway(access_view, keys, people[0], request)


def test_n80_at_a_gateway_a_certificate_without_a_session_or_of_another_name(
    access_view, keys, people
):
    stranger = operator_pair(keys, "sara")
    assert (
        refused(
            lambda: at_gateway(access_view, keys, stranger, pb.ListRequest(), verb="gateway.status")
        )
        == Reason.SIGNED_OUT
    )
    assert (
        refused(
            lambda: at_gateway(
                access_view, keys, people[0], pb.ListRequest(), verb="gateway.status", at=2**52
            )
        )
        == Reason.SIGNED_OUT
    )
    unknown = operator_pair(keys, "nobody")
    assert (
        refused(
            lambda: at_gateway(access_view, keys, unknown, pb.ListRequest(), verb="gateway.status")
        )
        == Reason.SIGNED_OUT
    )
