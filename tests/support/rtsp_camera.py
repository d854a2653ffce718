"""A network camera on loopback: RTSP 1.0 with RTP interleaved over TCP (RFC 2326, 10.12), an MPEG
transport stream as payload type 33 (RFC 2250).
"""

import socketserver
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np

SDP = (
    "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=camera\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\n"
    "m=video 0 RTP/AVP 33\r\na=control:track0\r\n"
)
HEADERS = {
    "OPTIONS": "Public: OPTIONS, DESCRIBE, SETUP, PLAY\r\n",
    "DESCRIBE": f"Content-Type: application/sdp\r\nContent-Length: {len(SDP)}\r\n",
    "SETUP": "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\nSession: 1\r\n",
    "PLAY": "Session: 1\r\nRange: npt=0.000-\r\n",
}
PACKET = 7 * 188


def _stream(folder: Path) -> bytes:
    path = folder / "camera.ts"
    code = cv2.VideoWriter.fourcc(*"MPG1")
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, code, 25, (320, 240))
    for number in range(60):
        writer.write(np.full((240, 320, 3), 4 * number, np.uint8))
    writer.release()
    return path.read_bytes()


@contextmanager
def rtsp_camera(folder: Path) -> Iterator[int]:
    """The port of a running camera."""
    stream = _stream(folder)

    class Session(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            while line := self.rfile.readline():
                method, number = line.split()[0].decode(), "0"
                while header := self.rfile.readline().strip().decode():
                    name, _, value = header.partition(":")
                    number = value.strip() if name.lower() == "cseq" else number
                body = SDP if method == "DESCRIBE" else ""
                answer = f"RTSP/1.0 200 OK\r\nCSeq: {number}\r\n{HEADERS.get(method, '')}\r\n{body}"
                self.wfile.write(answer.encode())
                if method == "PLAY":
                    self.play()
                    return

        def play(self) -> None:
            for number, at in enumerate(range(0, len(stream), PACKET)):
                head = struct.pack(">BBHII", 0x80, 33, number, 3600 * number, 1)
                packet = head + stream[at : at + PACKET]
                self.wfile.write(b"$\0" + struct.pack(">H", len(packet)) + packet)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Session) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()
