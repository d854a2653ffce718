"""What a browser loads before it shows the line: 1,000 cameras, all static files, compressed."""

import gzip
import time

from framegate_console.live import Live
from framegate_console.pages.line import MAX_LISTED
from framegate_console.rendering import static_files
from framegate_console.sessions import Session
from framegate_proto.v1 import framegate_pb2 as pb
from support.console import console_at
from support.hostile_fleet import HostileCalls

FIRST_LOAD_BYTES = 150_000
CAMERAS = 1_000


class Large(HostileCalls):
    """A fleet of a thousand cameras, each of which sends."""

    async def operator_bytes(self, name, request):
        return (await self.operator(name, request)).SerializeToString()

    async def operator(self, name, request, *, reason=""):
        if name != "List":
            return await super().operator(name, request, reason=reason)
        gateway = pb.DeviceSummary(
            device="gateway.line-1.gw1", kind="gateway", operator_addresses=["127.0.0.1:1"]
        )
        cameras = [
            pb.DeviceSummary(
                device=f"camera.line-{n % 9}.cam{n}",
                kind="camera",
                zone=f"line-{n % 9}",
                name=f"cam{n}",
                state="trusted" if n % 50 else "stale",
                last_result_ms=1_700_000_000_000 + n * 997,
            )
            for n in range(CAMERAS)
        ]
        return pb.ListReply(devices=[gateway, *cameras])


async def test_a_first_load_with_a_thousand_cameras_is_small(tmp_path):
    root = b"-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"
    shown = console_at(root, "127.0.0.1:1", "127.0.0.1:1", path=tmp_path / "fleet.json")
    session = Session("anna", b"", b"k", None, (), int(time.time() * 1000) + 60_000, "127.0.0.1:1")
    session.live = Live(session, Large())
    browser = shown.signed_in(session)
    files = sum(len(f.body) for f in static_files().values())
    for path, cards in (("/", 48), ("/cameras", MAX_LISTED)):
        answer = await browser.get(path, {"accept-encoding": "gzip"})
        page = gzip.decompress(answer.body).decode()
        assert page.count('<li class="card ') == cards and "cam50" in page
        assert files + len(answer.body) < FIRST_LOAD_BYTES
    session.end()
