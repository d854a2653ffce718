"""Whose word ends a session: the controller's, and nobody else's."""

import time

import pytest

from framegate.errors import Reason, Refused
from framegate_console.calls import Calls, Endpoint
from framegate_console.sessions import Session
from framegate_proto.v1 import framegate_pb2 as pb

GATEWAY = Endpoint("gateway.line-1.gw1", "127.0.0.1:1")


class Channel:
    """Refuses every call for `reason`."""

    def __init__(self, reason: Reason) -> None:
        self.reason = reason

    def unary_unary(self, _path, **_):
        async def call():
            raise Refused.of(self.reason, "a session that stands", "none")

        return lambda request, **_: call()


@pytest.fixture
def asked(monkeypatch):
    """Calls of a session to services that refuse everything for the reason that is given."""
    until = int(time.time() * 1000) + 60_000
    session = Session("anna", b"", b"key", None, (), until, "127.0.0.1:1")

    def refusing(reason: Reason) -> Calls:
        monkeypatch.setattr(Calls, "_channel", lambda *_: Channel(reason))
        return Calls(session, "controller.plant.framegate", b"")

    refusing.session = session
    return refusing


@pytest.mark.parametrize("reason", [Reason.SIGNED_OUT, Reason.CERTIFICATE_EXPIRED])
async def test_n172_what_the_controller_ends_is_ended(asked, reason):
    with pytest.raises(Refused):
        await asked(reason).operator("List", pb.ListRequest())
    assert asked.session.ended and asked.session.key == b""


async def test_a_gateway_that_has_not_heard_of_a_session_does_not_end_it(asked):
    with pytest.raises(Refused):
        await asked(Reason.SIGNED_OUT).gateway(GATEWAY, "Status", pb.ListRequest())
    assert not asked.session.ended


async def test_a_refusal_by_policy_ends_nothing(asked):
    with pytest.raises(Refused):
        await asked(Reason.POLICY_DENIED).operator("Change", pb.ChangeRequest())
    assert not asked.session.ended


async def test_n173_a_session_that_ended_opens_no_connection():
    until = int(time.time() * 1000) - 1
    session = Session("anna", b"", b"key", None, (), until, "127.0.0.1:1")
    with pytest.raises(Refused, match="signed-out"):
        await Calls(session, "controller.plant.framegate", b"").operator("List", pb.ListRequest())
