"""The listener answers who may ask, one thing at a time, and outlives whatever comes."""

import asyncio
import ssl

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from framegate.errors import Unavailable
from framegate.identity.certificates import Purpose
from framegate_host.telemetry import listener as module
from framegate_host.telemetry.families import Reading
from framegate_host.telemetry.listener_certificates import listener_certificates
from support.fleet_port import credentials
from support.monitoring import client, folder_of, issued
from support.scrape import COUNTS, get, listening, promtool_is_pleased, raw, series, watched
from support.waiting import until


async def test_metrics_are_what_was_read_and_no_library_adds_its_own():
    async def read():
        return [Reading(COUNTS, 3, ("a",))]

    async with listening(watched(read)) as at:
        status, page = await get(at.port, "/metrics")
    told = series(page)
    assert status == 200
    assert told["framegate_test_total", (("kind", "a"),)] == 3
    assert {name.partition("_")[0] for name, _ in told} <= {"framegate", "process"}
    promtool_is_pleased(page)


async def test_readiness_says_which_check_fails_and_liveness_does_not_ask():
    problem = [""]
    checks = [("store", lambda: problem[0]), ("broken", lambda: 1 / 0 if problem[0] else "")]
    async with listening(watched(checks=checks)) as at:
        assert await get(at.port, "/readyz") == (200, "ok\n")
        problem[0] = "away\x1b[2J"
        assert await get(at.port, "/livez") == (200, "ok\n")
        assert await get(at.port, "/readyz") == (503, "not ready\n")
        status, page = await get(at.port, "/readyz?verbose")
        told = series((await get(at.port, "/metrics"))[1])
    assert status == 503
    assert "[-]store failed: away" in page and "\x1b" not in page
    assert "[-]broken failed: cannot be told: ZeroDivisionError" in page
    assert told["framegate_check_ok", (("check", "store"),)] == 0


async def test_a_fault_in_reading_ends_one_answer_and_nothing_else():
    reads = []

    async def read():
        reads.append(1)
        raise RuntimeError("no")

    async with listening(watched(read)) as at:
        assert (await get(at.port, "/metrics"))[0] == 500
        assert (await get(at.port, "/livez"))[0] == 200
    assert len(reads) == 1


async def test_whoever_asks_faster_than_it_is_read_gets_the_same_page():
    reads = []

    async def read():
        reads.append(1)
        return []

    async with listening(watched(read)) as at:
        await asyncio.gather(*(get(at.port, "/metrics") for _ in range(10)))
        first = len(reads)
    assert first < 10


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"POST /metrics HTTP/1.1\r\n\r\n", b"400"),
        (b"GET /etc/passwd HTTP/1.1\r\n\r\n", b"404"),
        (b"GET /../metrics HTTP/1.1\r\n\r\n", b"404"),
        (b"\r\n\r\n", b"400"),
        (b"GET /metrics HTTP/1.1\r\nContent-Length: 1\r\n\r\nx", b"400"),
    ],
)
async def test_what_is_not_asked_here_is_refused(request_, status):
    async with listening(watched()) as at:
        assert (await raw(at.port, request_)).split()[1] == status


async def answered(port, request) -> bytes:
    """What is said before the end. Whoever's request is not all read by then is told of a reset."""
    try:
        return await asyncio.wait_for(raw(port, request), 30)
    except ConnectionError:
        return b""


async def test_a_head_without_an_end_is_cut_off(monkeypatch):
    async with listening(watched()) as at:
        with monkeypatch.context() as hurried:
            hurried.setattr(module, "HEAD_S", 0.05)
            assert await answered(at.port, b"GET /metrics") == b""
        assert await answered(at.port, b"x" * 100_000) == b""
        # with all the time that there is: a busy machine may take more than the above to ask
        assert (await get(at.port, "/livez"))[0] == 200


async def test_more_readers_than_there_is_room_for_are_turned_away(monkeypatch):
    """Whoever is being answered stays; nobody else gives way, so whoever comes is refused."""
    monkeypatch.setattr(module, "MAX_OPEN", 2)
    monkeypatch.setattr(module, "FRESH_S", 0.0)
    wait, reading = asyncio.Event(), []

    async def read():
        reading.append(1)
        await wait.wait()
        return []

    async with listening(watched(read)) as at:
        asking = [asyncio.create_task(get(at.port, "/metrics")) for _ in range(2)]
        await until(lambda: reading and list(at._silent.values()) == [False, False])
        with pytest.raises((ConnectionError, IndexError)):
            await get(at.port, "/livez")
        wait.set()
        assert [status for status, _ in await asyncio.gather(*asking)] == [200, 200]
        told = series((await get(at.port, "/metrics"))[1])
    assert told["framegate_scrapes_refused_total", ()] >= 1


async def test_a_port_that_was_closed_leaves_nothing_of_its_descriptor_in_the_loop():
    """Whatever is opened next has the same number, and the loop would take it for the port."""

    async def read():
        return []

    registered = asyncio.get_running_loop()._selector.get_map()
    async with listening(watched(read)) as at:
        number = at._listening.fileno()
        await until(lambda: number in registered)
    assert number not in registered


async def test_a_port_that_is_taken_is_said():
    async with listening(watched()) as at:
        with pytest.raises(Unavailable, match="choose another port"):
            async with listening(watched(), at=f"127.0.0.1:{at.port}"):
                pass


async def test_beyond_loopback_both_sides_show_a_certificate(tmp_path):
    authority, stranger = issued("monitoring", ca=True), issued("elsewhere", ca=True)
    clients = authority[1].public_bytes(Encoding.PEM)
    tls = folder_of(tmp_path / "tls", issued("metrics", authority), clients)
    good = client(tmp_path, authority, issued("prometheus", authority))
    async with listening(watched(), tls) as at:
        assert (await get(at.port, "/livez", good))[0] == 200
        for pair in (None, issued("prometheus", stranger)):
            with pytest.raises((ssl.SSLError, ConnectionError, IndexError)):
                await get(at.port, "/livez", client(tmp_path, authority, pair))
        assert not await raw(at.port, b"GET /livez HTTP/1.1\r\n\r\n")
        assert (await get(at.port, "/livez", good))[0] == 200


async def test_a_machine_of_the_fleet_reads_nothing_even_by_the_fleets_root(tmp_path, keys):
    authority = issued("monitoring", ca=True)
    clients = authority[1].public_bytes(Encoding.PEM) + keys.root.pem
    tls = folder_of(tmp_path / "tls", issued("metrics", authority), clients)
    pair = credentials(keys, "device-ca", Purpose.DEVICE, "camera.line-1.cam1")
    context = client(tmp_path, authority, pem=pair)
    async with listening(watched(), tls) as at:
        assert await raw(at.port, b"GET /livez HTTP/1.1\r\n\r\n", context) == b""


async def test_when_its_certificates_end_stands_on_its_page_and_in_the_log(
    tmp_path, monkeypatch, caplog
):
    authority = issued("monitoring", ca=True)
    clients = authority[1].public_bytes(Encoding.PEM)
    tls = folder_of(tmp_path / "tls", issued("metrics", authority), clients)
    good = client(tmp_path, authority, issued("prometheus", authority))
    monkeypatch.setattr("framegate_host.certificate_end.SHARE", 1)  # an hour's, at its beginning
    async with listening(watched(), tls) as at:
        told = series((await get(at.port, "/metrics", good))[1])
        await until(lambda: len(caplog.records) == 2)
    ends = authority[1].not_valid_after_utc.timestamp()
    family = "framegate_metrics_certificate_expiry_timestamp_seconds"
    assert told[family, (("file", "clients"),)] == ends
    assert abs(told[family, (("file", "metrics"),)] - ends) < 5
    assert {r.getMessage().split(", ")[1].split(":")[2] for r in caplog.records} == {
        f" bring the next {name}.pem to {tls}" for name in ("metrics", "clients")
    }


async def test_on_loopback_there_is_nothing_that_ends():
    async with listening(watched()) as at:
        told = series((await get(at.port, "/metrics"))[1])
    assert not [name for name, _ in told if "certificate_expiry" in name]


async def test_one_whose_end_cannot_be_read_serves_all_the_same(tmp_path, caplog):
    (tmp_path / "clients.pem").write_bytes(b"nothing")
    told = listener_certificates(tmp_path)
    assert told == {} and caplog.text.count("cannot be read") == 2


async def test_a_folder_that_is_not_whole_is_said(tmp_path):
    with pytest.raises(Unavailable, match=r"clients\.pem"):
        async with listening(watched(), tmp_path):
            pass
