import asyncio
import hashlib
import hmac
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framegate.errors import FramegateError, Malformed, Reason
from framegate_segment import disconnect as module
from framegate_segment.disconnect import (
    ACKNOWLEDGED,
    REFUSED,
    Switch,
    disconnect,
    disconnect_request,
    load_switch,
    parse_answer,
)
from support.refusals import refused

SECRET, MAC = b"a shared secret of a switch", "02:00:00:00:01:0b"


def md5(data):
    return hashlib.md5(data).digest()  # noqa: S324 - as RADIUS has it


def answer(request, code=ACKNOWLEDGED, secret=SECRET, attributes=b"", identifier=None):
    head = struct.pack(
        "!BBH", code, request[1] if identifier is None else identifier, 20 + len(attributes)
    )
    return head + md5(head + request[4:20] + attributes + secret) + attributes


def test_a_request_is_as_rfc_5176_has_it():
    request = disconnect_request(SECRET, 7, MAC, 1_700_000_000)
    assert request[:2] == b"\x28\x07" and struct.unpack_from("!H", request, 2)[0] == len(request)
    assert request[20:39] == b"\x1f\x13" + b"02-00-00-00-01-0B"
    unsigned = request[:4] + bytes(16) + request[20:]
    assert request[4:20] == md5(unsigned + SECRET)
    zero = unsigned[:-16] + bytes(16)
    assert request[-16:] == hmac.new(SECRET, zero, hashlib.md5).digest()


def test_only_an_answer_under_the_secret_to_this_very_request_counts():
    request = disconnect_request(SECRET, 7, MAC, 1)
    assert parse_answer(answer(request), request, SECRET) is True
    assert (
        parse_answer(answer(request, REFUSED, attributes=b"\x65\x06\0\0\x01\xf7"), request, SECRET)
        is False
    )
    other = disconnect_request(SECRET, 7, MAC, 2)
    for forged in (
        answer(request, secret=b"another secret"),
        answer(other),
        answer(request, code=2),
        answer(request, code=40),
        answer(request, identifier=8),
        answer(request)[:-1],
        answer(request) + b"\0",
        answer(request)[:10],
        b"",
    ):
        with pytest.raises(Malformed):
            parse_answer(forged, request, SECRET)


@given(st.binary(max_size=60))
def test_any_datagram_is_no_answer(data):
    with pytest.raises(Malformed):
        parse_answer(data, disconnect_request(SECRET, 1, MAC, 1), SECRET)


class FakeSwitch(asyncio.DatagramProtocol):
    """Answers each request with what `say` makes of it."""

    def __init__(self, say):
        self.say, self.heard = say, []

    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, addr):
        self.heard.append(data)
        for each in self.say(data):
            self.transport.sendto(each, addr)


async def asked(say):
    loop = asyncio.get_running_loop()
    fake = FakeSwitch(say)
    transport, _ = await loop.create_datagram_endpoint(lambda: fake, local_addr=("127.0.0.1", 0))
    try:
        port = transport.get_extra_info("sockname")[1]
        await disconnect(Switch("127.0.0.1", port, SECRET), MAC)
    finally:
        transport.close()
    return fake


async def test_an_acknowledgement_is_taken_among_forged_ones(monkeypatch):
    monkeypatch.setattr(module, "WAIT_S", 30.0)  # a busy machine's switch takes its time, too
    fake = await asked(lambda r: [b"x", answer(r, secret=b"no secret at all"), answer(r)])
    assert len(fake.heard) == 1


async def test_a_lost_datagram_is_sent_again_as_it_was():
    seen = []

    def second(request):
        seen.append(request)
        return [answer(request)] if len(seen) > 1 else []

    await asked(second)
    assert len(seen) > 1 and len(set(seen)) == 1


@pytest.mark.parametrize(
    ("say", "reason"),
    [
        (lambda r: [answer(r, REFUSED)], Reason.SEGMENT),
        (lambda _: [], Reason.UNAVAILABLE),
        (lambda r: [answer(r, secret=b"no secret at all")], Reason.UNAVAILABLE),
    ],
)
async def test_a_no_silence_and_forgery_are_told_apart(say, reason):
    with pytest.raises(FramegateError) as error:
        await asked(say)
    assert error.value.reason == reason


def test_a_switchs_secret_is_a_private_file_and_long(tmp_path):
    file = tmp_path / "secret"
    file.write_bytes(SECRET + b"\n")
    file.chmod(0o600)
    assert load_switch("[::1]:3799", file) == Switch("::1", 3799, SECRET)
    assert load_switch("", None) is None
    assert refused(lambda: load_switch("10.0.0.1:3799", None)) == Reason.USAGE
    assert refused(lambda: load_switch("10.0.0.1:3799", tmp_path / "none")) == Reason.USAGE
    file.chmod(0o644)
    assert refused(lambda: load_switch("10.0.0.1:3799", file)) == Reason.USAGE
    file.write_bytes(b"short")
    file.chmod(0o600)
    assert refused(lambda: load_switch("10.0.0.1:3799", file)) == Reason.USAGE
