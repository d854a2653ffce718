"""What a machine is told with the answer to its evidence."""

from dataclasses import replace

from framegate.identity.names import DeviceId
from framegate_controller.context import Addresses
from framegate_controller.fleet.answer import Answer
from framegate_controller.rpc.attestation import to_answer

ANSWER = Answer(DeviceId("camera.line-1.cam1"), "line-1", "trusted", ())


def test_a_machine_is_told_where_every_controller_is(bench):
    at = Addresses(join="a:1,b:1", fleet="a:2,b:2", server_name="controller.plant.framegate")
    reply = to_answer(ANSWER, replace(bench.fleet, addresses=at))
    assert (reply.join_address, reply.fleet_address) == ("a:1,b:1", "a:2,b:2")


def test_a_controller_that_does_not_listen_tells_no_address(bench):
    reply = to_answer(ANSWER, bench.fleet)
    assert (reply.join_address, reply.fleet_address, reply.state) == ("", "", "trusted")
