"""Grants for gateways that run no model which may inspect."""

from dataclasses import replace

import pytest

from framegate.access.decision import Decision
from framegate.errors import Failure, Reason
from framegate.identity.certificates import from_ms
from framegate.identity.names import Kind
from framegate.machines.lifecycle import Event as Edge
from framegate.signed.statement import Grant, verify_grant
from framegate.wire import NO_MODEL, GatewayPublics
from framegate_controller.people.grants import IDLE_TTL_S, AskedGrants, compose_grants
from framegate_controller.store.shared.policies import InMemoryPolicies
from framegate_gateway.trust.keys import GatewayKeys
from framegate_proto.v1 import framegate_pb2 as pb
from support.registrations import approved

CAMERA = "camera.line-1.cam1"


@pytest.fixture
def pinned(bench, models_desk) -> bytes:
    """The digest of the model that is pinned in line-1, with a trusted camera there."""
    model = approved(models_desk, 1)
    models_desk.ask("PromoteModel", pb.ModelRequest(digest=model.digest, zone="line-1"))
    bench.enrol("cam1")
    return bytes.fromhex(model.digest)


def gateway(bench, name: str, model: bytes) -> None:
    """A trusted host in line-1 whose process says that it runs `model`."""
    forge = bench.enrol(name, Kind.GATEWAY)
    publics = GatewayPublics.parse(GatewayKeys("a:1", "a:2", model).newest.publics)
    forge.publics = (replace(publics, model_digest=model).marshal(),)
    assert bench.attest(forge, f"gateway.line-1.{name}").state == "trusted"


def granted(bench, **more) -> list[Grant]:
    with bench.store.writing() as tx:
        asked = AskedGrants(b"n" * 32, **more)
        made = compose_grants(tx, bench.fleet, InMemoryPolicies(), CAMERA, asked)
        now = from_ms(tx.now_ms)
    authorities = tuple(c.certificate for c in bench.keys.issuing.values())
    root = bench.keys.root.certificate
    return [verify_grant(g, CAMERA, authorities, root, now, nonce=b"n" * 32) for g in made.grants]


def test_where_none_inspects_a_camera_is_sent_to_who_says_so(bench, pinned):
    gateway(bench, "gw1", NO_MODEL)
    (grant,) = granted(bench)
    assert grant.model_sha256 == NO_MODEL.hex() and grant.ttl_s <= IDLE_TTL_S
    assert grant.host == "gateway.line-1.gw1"


def test_who_inspects_comes_before_who_does_not(bench, pinned):
    gateway(bench, "gw1", NO_MODEL)
    gateway(bench, "gw2", pinned)
    (grant,) = granted(bench)
    assert grant.host == "gateway.line-1.gw2" and grant.ttl_s > IDLE_TTL_S


def test_a_model_that_nobody_approved_gets_no_grant_of_either_kind(bench, pinned):
    gateway(bench, "gw1", b"\x01" * 32)
    assert granted(bench) == []


def test_a_host_that_lost_its_trust_is_not_even_idle(bench, pinned):
    gateway(bench, "gw1", NO_MODEL)
    bench.move(Edge.QUARANTINE, "gateway.line-1.gw1")
    assert granted(bench) == []


def test_whom_the_policy_keeps_from_a_gateway_it_keeps_from_an_idle_one_too(
    bench, pinned, monkeypatch
):
    gateway(bench, "gw1", NO_MODEL)
    asked = []

    def denied(_tx, _policies, _keys, _facts, _camera, model, _zone):
        asked.append(model)
        failure = Failure(Reason.POLICY_DENIED, "a permit", "none")
        return Decision(allow=False, policies=(), failure=failure), None

    monkeypatch.setattr("framegate_controller.people.grants.may_inspect", denied)
    assert granted(bench) == [] and asked == [NO_MODEL.hex()]


def test_a_grant_names_its_hosts_profile_to_who_asks_and_to_nobody_of_before(bench, pinned):
    gateway(bench, "gw1", pinned)
    (plain,), (named,) = granted(bench), granted(bench, with_profiles=True)
    with bench.store.reading() as tx:
        standing = tx.devices.get("gateway.line-1.gw1").standing
    assert named.profile_sha256 == standing.profile_sha256.hex() != ""
    assert not plain.profile_sha256 and b"profile" not in plain.payload()
