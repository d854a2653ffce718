"""A fleet's bundle over a real port: a process that shows it, and who asks for it (N197)."""

import asyncio
import ssl
import threading
from contextlib import asynccontextmanager
from http import HTTPStatus

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from framegate.errors import FramegateError, Malformed, Reason, Refused, Unavailable
from framegate.identity.pem import private_pem
from framegate_controller.ca.issue import issue_bundle_endpoint, issue_server
from framegate_controller.federation import fetch
from framegate_controller.federation.fetch import fetch_bundle
from framegate_controller.federation.showing import shown_bundle
from framegate_controller.rpc.listening import listen
from support.other_sites import bundle, pinned


@asynccontextmanager
async def showing(keys):
    endpoint = shown_bundle(lambda: keys, await listen("127.0.0.1", 0))
    await endpoint.start()
    try:
        yield endpoint
    finally:
        await endpoint.stop()


async def fetched(port: int, keys):
    return await asyncio.to_thread(fetch_bundle, f"127.0.0.1:{port}", pinned(keys))


async def test_what_a_fleet_shows_is_what_another_fetches(north):
    async with showing(north) as endpoint:
        assert await fetched(endpoint.port, north) == pinned(north)
        assert await fetched(endpoint.port, north) == pinned(north)


async def test_another_process_takes_the_place_of_one_that_ended(north):
    async with showing(north) as endpoint:
        first = endpoint.pid
        assert endpoint._child is not None
        endpoint._child.process.kill()
        async with asyncio.timeout(60):
            while True:
                try:
                    assert await fetched(endpoint.port, north) == pinned(north)
                except Unavailable:
                    await asyncio.sleep(0.1)
                    continue
                if endpoint.pid not in {0, first}:
                    break


async def test_strangers_are_answered_that_one_document_and_nothing_else(north):
    context = ssl.create_default_context(cadata=north.root.pem.decode())
    context.check_hostname = False

    async def answered(asked: bytes) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", endpoint.port, ssl=context)
        writer.write(asked)
        whole = await asyncio.wait_for(reader.read(), 60)
        writer.close()
        return whole

    async with showing(north) as endpoint:
        head, _, body = (await answered(b"GET /bundle HTTP/1.1\r\n\r\n")).partition(b"\r\n\r\n")
        assert body == bundle(north)
        assert b"application/json" in head
        assert (await answered(b"HEAD /bundle HTTP/1.1\r\n\r\n")).endswith(b"\r\n\r\n")
        for asked in (
            b"GET / HTTP/1.1\r\n\r\n",
            b"GET /../etc/passwd HTTP/1.1\r\n\r\n",
            b"POST /bundle HTTP/1.1\r\nContent-Length: 1\r\n\r\nx",
            b"\0\r\n\r\n",
        ):
            assert str(HTTPStatus.NOT_FOUND.value).encode() in (await answered(asked))[:14]
        assert await fetched(endpoint.port, north) == pinned(north)


class Impostor:
    """A TLS server with a certificate of some fleet, which answers whatever it is told to."""

    def __init__(self, answer: bytes) -> None:
        self.answer, self.asked = answer, b""
        self.port = 0

    async def serve(self, reader, writer) -> None:
        self.asked = await reader.readuntil(b"\r\n\r\n")
        writer.write(self.answer)
        await writer.drain()
        writer.close()


def chain_of(keys, *, server="") -> tuple[bytes, bytes]:
    key = ec.generate_private_key(ec.SECP256R1())
    if server:
        leaf = issue_server(keys, server, key.public_key())
    else:
        leaf = issue_bundle_endpoint(keys, key.public_key())
    return private_pem(key), leaf.public_bytes(Encoding.PEM) + keys.issuing["server-ca"].pem


@asynccontextmanager
async def impostor(tmp_path, chain, answer: bytes):
    peer, file = Impostor(answer), tmp_path / "impostor.pem"
    file.write_bytes(b"".join(chain))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    server = await asyncio.start_server(peer.serve, "127.0.0.1", 0, ssl=context)
    async with server:
        peer.port = server.sockets[0].getsockname()[1]
        yield peer


def ok(body: bytes, length: int | None = None) -> bytes:
    size = len(body) if length is None else length
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (size, body)


async def test_n197_whoever_has_no_key_of_that_fleet_is_asked_nothing(tmp_path, north, keys):
    async with impostor(tmp_path, chain_of(keys), ok(bundle(north))) as peer:
        with pytest.raises(Refused) as caught:
            await fetched(peer.port, north)
        assert (caught.value.reason, peer.asked) == (Reason.CERTIFICATE, b"")


async def test_n197_another_server_of_that_fleet_is_asked_nothing(tmp_path, north):
    chain = chain_of(north, server="broker")
    async with impostor(tmp_path, chain, ok(bundle(north))) as peer:
        with pytest.raises(Refused) as caught:
            await fetched(peer.port, north)
        assert "spiffe://north.framegate/controller" in str(caught.value)
        assert (caught.value.reason, peer.asked) == (Reason.CERTIFICATE, b"")


@pytest.mark.parametrize(
    "name",
    ["not-found", "cut", "longer", "no-length", "two-lengths", "endless", "junk", "no-http"],
)
async def test_n197_an_answer_that_is_no_whole_bundle_is_none(tmp_path, north, name):
    whole = bundle(north)
    answer = {
        "not-found": b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
        "cut": ok(whole[:-9], len(whole)),
        "longer": ok(whole + b" ", len(whole)),
        "no-length": b"HTTP/1.1 200 OK\r\n\r\n" + whole,
        "two-lengths": ok(whole).replace(b"\r\n\r\n", b"\r\nContent-Length: 1\r\n\r\n", 1),
        "endless": ok(b" " * 200_000),
        "junk": ok(b"junk"),
        "no-http": whole,
    }[name]
    async with impostor(tmp_path, chain_of(north), answer) as peer:
        with pytest.raises(Malformed) as caught:
            await fetched(peer.port, north)
        assert caught.value.reason in {Reason.SITE_BUNDLE, Reason.TOO_LARGE}


async def test_an_answer_that_is_one_is_taken_from_whoever_has_the_endpoints_key(tmp_path, north):
    async with impostor(tmp_path, chain_of(north), ok(bundle(north))) as peer:
        assert await fetched(peer.port, north) == pinned(north)


async def test_a_link_that_is_cut_is_no_answer(tmp_path, north):
    with pytest.raises(Unavailable):
        await fetched(1, north)


async def test_one_that_says_nothing_is_not_waited_for(monkeypatch, north):
    monkeypatch.setattr(fetch, "FETCH_S", 0.3)
    ended = threading.Event()

    async def silent(_reader, writer) -> None:
        await asyncio.to_thread(ended.wait, 60)
        writer.close()

    async with await asyncio.start_server(silent, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(FramegateError) as caught:
            await fetched(port, north)
        assert caught.value.reason is Reason.UNAVAILABLE
        ended.set()
