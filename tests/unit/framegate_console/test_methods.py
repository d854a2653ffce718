"""The fleet's methods, known once: the same that stubs would make."""

import pytest

from framegate.errors import Unavailable
from framegate_console.methods import gateway_methods, operator_methods, sign_in_methods
from framegate_console.told_alike import ToldAlike
from framegate_proto.v1 import framegate_pb2 as pb

SERVICES = pb.DESCRIPTOR.services_by_name
TRUSTED = pb.DeviceSummary(device="camera.line-1.cam1", kind="camera", state="trusted", since_ms=1)


class Channel:
    """Says what was opened on it."""

    def unary_unary(self, path, **given):
        return (path, False, given["response_deserializer"])

    def unary_stream(self, path, **given):
        return (path, True, given["response_deserializer"])


@pytest.mark.parametrize(
    ("service", "known"),
    [
        ("Operator", operator_methods),
        ("GatewayOperator", gateway_methods),
        ("SignIn", sign_in_methods),
    ],
)
def test_every_method_of_the_contract_is_known(service, known):
    contract = {m.name: m for m in SERVICES[service].methods}
    assert set(known()) == set(contract)
    for name, method in known().items():
        path = f"/{contract[name].containing_service.full_name}/{name}"
        assert (method.path, method.streams) == (path, contract[name].server_streaming)
        assert method.on(Channel())[:2] == (path, method.streams)


def test_an_answer_is_read_by_its_own_message_or_not_at_all():
    listed = operator_methods()["List"]
    assert listed.on(Channel())[2](b"") == pb.ListReply()
    assert listed.on(Channel(), parsed=False)[2] is None


def test_what_was_told_before_is_not_read_again():
    alike, told = ToldAlike(), pb.ListReply(devices=[TRUSTED]).SerializeToString()
    machines = alike.machines(told)
    assert alike.machines(bytes(told)) is machines
    other = pb.ListReply(devices=[TRUSTED, TRUSTED]).SerializeToString()
    assert alike.machines(other) is not machines


def test_what_is_no_list_is_nobodys_answer():
    with pytest.raises(Unavailable):
        ToldAlike().machines(b"\xff\xff")


def test_whoever_heard_of_an_entry_and_whoever_asked_anew_were_told_the_same():
    alike = ToldAlike()
    before = alike.machines(pb.ListReply(devices=[TRUSTED]).SerializeToString())
    row = pb.EventRow(device=TRUSTED.device, to_state="quarantined", at_ms=7)
    heard = alike.moved(before, [row])
    held = pb.DeviceSummary(device=TRUSTED.device, kind="camera", state="quarantined", since_ms=7)
    assert alike.machines(pb.ListReply(devices=[held]).SerializeToString()) is heard
