"""A channel to any of several controllers."""

import asyncio
import socket

import grpc
import pytest

from framegate.wire import MAX_TEXT
from framegate_proto.targets import (
    MAX_ADDRESSES,
    addresses_of,
    known_addresses,
    secured_target,
    target_of,
)


@pytest.mark.parametrize(
    "text", ["127.0.0.1:7444", "controller.example.net:7444", "[::1]:7444", ""]
)
def test_one_address_is_the_target_as_it_stands(text):
    assert target_of(text) == (text, ())


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("127.0.0.1:1,127.0.0.2:2", "ipv4:127.0.0.1:1,127.0.0.2:2"),
        (" 127.0.0.1:1 , 127.0.0.2:2,", "ipv4:127.0.0.1:1,127.0.0.2:2"),
        ("127.0.0.1:1,[::1]:2", "ipv6:[::ffff:127.0.0.1]:1,[::1]:2"),
        ("127.0.0.1:1,nobody.invalid:2", "ipv4:127.0.0.1:1"),
        ("127.0.0.1:1,127.0.0.2:not-a-port", "ipv4:127.0.0.1:1"),
    ],
)
def test_several_are_tried_in_any_order(text, name):
    target = target_of(text)
    assert target.name == name
    assert "shuffleAddressList" in dict(target.options)["grpc.service_config"]


def test_where_none_is_known_the_first_says_what_is_wrong():
    assert target_of("nobody.invalid:1,nowhere.invalid:2").name == "nobody.invalid:1"


@pytest.mark.parametrize("text", ["127.0.0.1:1", "127.0.0.1:1,127.0.0.2:2"])
def test_a_channel_with_a_certificate_names_its_server_and_shares_nothing(text):
    target = secured_target(text, "controller.plant.framegate", ("grpc.keepalive_time_ms", 9))
    assert target.name == target_of(text).name
    options = dict(target.options)
    assert options.items() >= dict(target_of(text).options).items()
    assert options["grpc.ssl_target_name_override"] == "controller.plant.framegate"
    assert options["grpc.enable_http_proxy"] == 0
    assert options["grpc.use_local_subchannel_pool"] == 1
    assert options["grpc.keepalive_time_ms"] == 9


def test_a_list_has_an_end():
    text = ",".join(f"127.0.0.{n}:7444" for n in range(1, 60))
    assert len(addresses_of(text)) == MAX_ADDRESSES


@pytest.mark.parametrize(
    ("own", "told", "known"),
    [
        ("a:1", "", "a:1"),  # a controller of an earlier version tells none
        ("a:1,b:1", "", "a:1,b:1"),
        ("a:1", "a:1,b:2", "a:1,b:2"),
        ("a:1", "b:2,c:3", "a:1,b:2,c:3"),  # its own first is one that it reached
        ("a:1,gone:9", "a:1,b:2", "a:1,b:2"),
        ("a:1", "b:2,b:2,,a:1", "a:1,b:2"),
        ("a:1", "no port,b:x,\x1b[2Jc:3,d:4", "a:1,d:4"),
        ("a:1", "nothing that is one", "a:1"),
        ("", "b:2", "b:2"),
    ],
)
def test_addresses_that_a_machine_learns_of(own, told, known):
    assert known_addresses(own, told) == known


def test_addresses_that_a_machine_learns_of_have_room_in_what_it_tells_its_gateways():
    told = ",".join(f"controller-{n}.a-long-name-of-a-plant.example.net:7444" for n in range(30))
    known = known_addresses("own:1", told)
    assert 1 < len(addresses_of(known)) <= MAX_ADDRESSES and len(known) <= MAX_TEXT


async def test_whoever_is_gone_is_gone_over_from():
    async def served(word: bytes) -> tuple[grpc.aio.Server, int]:
        async def answer(_request: bytes, _context: object) -> bytes:
            return word

        handler = grpc.unary_unary_rpc_method_handler(answer)
        server = grpc.aio.server()
        server.add_generic_rpc_handlers(
            [grpc.method_handlers_generic_handler("Any", {"Ask": handler})]
        )
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        return server, port

    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # bound, and nobody listens: refused
        dead = nobody.getsockname()[1]
        servers = dict([await served(b"one"), await served(b"two")])
        ports = list(servers.values())
        target = target_of(",".join(f"127.0.0.1:{p}" for p in (dead, *ports)))
        words = dict(zip((b"one", b"two"), servers, strict=True))
        options = (*target.options, ("grpc.initial_reconnect_backoff_ms", 100))
        async with grpc.aio.insecure_channel(target.name, options=options) as channel:
            ask = channel.unary_unary("/Any/Ask")
            first = await ask(b"", wait_for_ready=True, timeout=30)
            await words[first].stop(0)
            async with asyncio.timeout(30):
                while True:
                    try:
                        second = await ask(b"", wait_for_ready=True, timeout=30)
                    except grpc.aio.AioRpcError:
                        continue  # the call that was under way
                    break
            assert {first, second} == {b"one", b"two"}
        for server in servers:
            await server.stop(0)
