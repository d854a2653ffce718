import time
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from framegate.access.policy import default_files
from framegate.access.policy_statement import PolicyStatement
from framegate.errors import FramegateError, Reason
from framegate.identity.certificates import Purpose
from framegate.identity.pem import private_pem
from framegate.segment.policy import FILE
from framegate_controller.ca.issue import issue_enforcer, issue_line
from framegate_controller.ca.peer import verify_peer
from framegate_controller.events.snapshot import Teller, for_enforcers, for_gateways
from framegate_controller.fleet.callers import relying_peer
from framegate_host.private_files import write_private
from framegate_proto.v1 import framegate_pb2 as pb
from framegate_segment.credentials import load_credentials
from framegate_segment.enforcement.enforcer import Enforcer
from framegate_segment.feed import SILENCE_S, FeedFiles, FeedView
from support.refusals import refused
from support.segments import CAM1, CAM2, ZONE, FakeKernel, segment_text


def credentials_in(folder, keys, certificate=None):
    key = ec.generate_private_key(ec.SECP256R1())
    made = (
        certificate(key.public_key())
        if certificate
        else issue_enforcer(keys, ZONE, "sw1", key.public_key())
    )
    write_private(folder / "enforcer.key", private_pem(key))
    chain = made.public_bytes(Encoding.PEM) + keys.issuing["gateway-ca"].pem
    (folder / "enforcer.pem").write_bytes(chain)
    (folder / "root.pem").write_bytes(keys.root.pem)
    authorities = b"".join(c.public_bytes(Encoding.PEM) for c in keys.intermediates)
    (folder / "authorities.pem").write_bytes(authorities)
    return folder


class Listener:
    """An enforcer's view of a feed, and messages for it."""

    def __init__(self, bench, folder):
        self.keys, self.folder = bench.keys, folder
        self.kernel = FakeKernel()
        self.credentials = load_credentials(credentials_in(folder, bench.keys))
        self.begin()

    def begin(self):
        clock = lambda: self.kernel.now_s  # noqa: E731
        self.enforcer = Enforcer(self.kernel, monotonic=clock)
        files = FeedFiles(self.folder)
        self.view = FeedView(self.credentials, files, self.enforcer, monotonic=clock)

    def policy(self, version=1, text=None, signer="policy"):
        files = {**default_files(), FILE: text or segment_text()}
        statement = PolicyStatement(
            version=version,
            files=tuple({"name": n, "text": t} for n, t in sorted(files.items())),
            applied_by="operator.anna",
            applied_at_ms=time.time_ns() // 1_000_000,
        )
        key = self.keys.signing[signer]
        return statement.seal(key.der, key.sign)

    def snapshot(self, revision=5, policy=None, **states):
        return self.update(revision, snapshot=True, policy=policy or self.policy(), **states)

    def update(self, revision=5, snapshot=False, policy=None, **states):
        devices = [
            pb.DeviceTrust(
                device=f"camera.line-1.{name}",
                state=state,
                remaining_ms=60_000 if state == "trusted" else 0,
            )
            for name, state in states.items()
        ]
        access = pb.AccessUpdate(policy=policy) if policy else None
        return pb.TrustUpdate(revision=revision, snapshot=snapshot, devices=devices, access=access)

    def stands(self, device):
        from framegate.segment.trusted_sets import elements_of

        own = elements_of(self.enforcer.segment, device)
        return bool(own) and all(self.kernel.ends_s.get(e, 0) > self.kernel.now_s for e in own)


@pytest.fixture
def listener(bench, tmp_path):
    return Listener(bench, tmp_path)


def test_a_snapshot_is_enforced_and_a_change_cuts(listener):
    listener.view.apply(listener.snapshot(cam1="trusted", cam2="suspect"))
    assert listener.stands(CAM1) and not listener.stands(CAM2) and listener.view.heard
    listener.view.apply(listener.update(6, cam1="quarantined"))
    assert not listener.stands(CAM1)


def test_nothing_before_a_snapshot(listener):
    assert refused(lambda: listener.view.apply(listener.update())) == Reason.TRUST_FEED
    assert not listener.view.heard and listener.enforcer.segment is None


def test_silence_renews_nothing(listener):
    listener.view.apply(listener.snapshot(cam1="trusted"))
    listener.kernel.now_s += SILENCE_S + 0.1
    assert not listener.view.heard
    listener.view.apply(listener.update())
    assert listener.view.heard
    listener.view.disconnected()
    assert not listener.view.heard


def test_a_revision_that_falls_closes_everything_also_over_a_restart(listener):
    listener.view.apply(listener.snapshot(9, cam1="trusted"))
    listener.begin()
    assert listener.view.restore()
    old = listener.snapshot(8, cam1="trusted")
    assert refused(lambda: listener.view.apply(old)) == Reason.CONTROLLER_BEHIND
    assert not listener.view.heard


def test_an_old_controller_on_a_live_connection_cuts_who_stands(listener):
    listener.view.apply(listener.snapshot(9, cam1="trusted"))
    assert refused(lambda: listener.view.apply(listener.update(3))) == Reason.CONTROLLER_BEHIND
    assert not listener.stands(CAM1)


def test_a_policy_never_goes_back(listener):
    listener.view.apply(listener.snapshot(5, listener.policy(4), cam1="trusted"))
    older = listener.update(6, policy=listener.policy(3, segment_text(life_s=60)))
    assert refused(lambda: listener.view.apply(older)) == Reason.CONTROLLER_BEHIND
    listener.begin()
    listener.view.restore()
    other = listener.snapshot(6, listener.policy(4, segment_text(life_s=60)), cam1="trusted")
    assert refused(lambda: listener.view.apply(other)) == Reason.CONTROLLER_BEHIND


def test_a_policy_that_somebody_else_signed_is_none(listener):
    for signer in ("grant", "log", "mask"):
        forged = listener.snapshot(5, listener.policy(4, signer=signer))
        with pytest.raises(FramegateError):
            listener.view.apply(forged)
        assert listener.enforcer.segment is None


def test_a_policy_without_a_segment_leaves_what_holds(listener):
    listener.view.apply(listener.snapshot(5, cam1="trusted"))
    before = listener.enforcer.segment
    text = segment_text().replace("line-1", "line-2")
    listener.view.apply(listener.update(6, policy=listener.policy(2, text)))
    assert listener.enforcer.segment == before and listener.stands(CAM1)


def test_machines_of_another_zone_are_nothing_for_it(listener):
    message = listener.snapshot(5)
    message.devices.append(pb.DeviceTrust(device="camera.line-2.cam1", state="trusted"))
    assert refused(lambda: listener.view.apply(message)) == Reason.TRUST_FEED


def test_at_start_the_kept_policy_holds_before_anybody_is_heard(listener):
    listener.view.apply(listener.snapshot(5, cam1="trusted"))
    ends = dict(listener.kernel.ends_s)
    listener.begin()
    assert listener.view.restore() and listener.enforcer.segment is not None
    assert listener.kernel.ends_s == ends and not listener.view.heard


def test_without_a_kept_policy_there_is_none(listener):
    assert not listener.view.restore()


@pytest.mark.parametrize("content", [b"", b"{}", b"x" * 50])
def test_a_damaged_policy_is_told(listener, content):
    (listener.folder / "policy.dsse").write_bytes(content)
    with pytest.raises(FramegateError):
        listener.view.restore()


def test_credentials_that_are_none(bench, tmp_path):
    assert refused(lambda: load_credentials(tmp_path)) == Reason.UNAVAILABLE
    line = credentials_in(tmp_path, bench.keys, lambda key: issue_line(bench.keys, "x", key))
    assert refused(lambda: load_credentials(line)) == Reason.CERTIFICATE
    (tmp_path / "enforcer.key").chmod(0o644)
    assert refused(lambda: load_credentials(tmp_path)) == Reason.USAGE


def test_an_enforcer_is_told_states_and_the_policy_and_nothing_of_people(bench):
    bench.enrol()
    with bench.store.writing() as tx:
        whole = Teller(tx, bench.fleet).snapshot(ZONE)
    told = for_enforcers(whole)
    assert [d.device for d in told.devices] == [d.device for d in whole.devices] and told.devices
    for device in told.devices:
        assert not device.facts and not device.masks and not device.standing.evidence_sha256
    assert told.access.policy == whole.access.policy and told.access.policy
    assert not told.access.operators and not told.access.model_pin and told.parts is None
    heartbeat = for_enforcers(replace(whole, access=None, devices=(), snapshot=False))
    assert heartbeat.access is None and for_gateways(whole) is whole


def test_whose_certificate_opens_the_feed(bench):
    def peer(certificate, *purposes):
        return verify_peer(certificate, "x", bench.keys, datetime.now(UTC), *purposes)

    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    both = (Purpose.GATEWAY, Purpose.ENFORCER)
    with bench.store.reading() as tx:
        known = relying_peer(tx, peer(issue_enforcer(bench.keys, ZONE, "sw1", key), *both))
        assert (known.name, known.zone, known.enforcer) == ("enforcer.line-1.sw1", ZONE, True)
    line = issue_line(bench.keys, "press-7", key)
    assert refused(lambda: peer(line, *both)) == Reason.WRONG_ROLE
    own = issue_enforcer(bench.keys, ZONE, "sw1", key)
    for other in set(Purpose) - {Purpose.ENFORCER}:
        assert refused(lambda o=other: peer(own, o)) == Reason.WRONG_ROLE
