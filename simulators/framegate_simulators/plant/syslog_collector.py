"""A syslog server over TLS that writes each message's text as a line: rsyslog where it is installed
with its TLS driver, else a small receiver of RFC 5425's frames (`LEN SP MSG`).

FRAMEGATE_RSYSLOG names the root of an rsyslog whose packages were only unpacked.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socketserver
import ssl
import threading
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any, BinaryIO, Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from framegate.identity.pem import private_pem
from framegate_host.private_files import private_folder, write_private
from framegate_simulators.plant.processes import (
    PlantError,
    Processes,
    answers,
    free_port,
    wait_for,
)

DRIVERS: Final = "usr/lib/*/rsyslog/lmnsd_gtls.so"
MOST_DIGITS: Final = 6
MOST_BYTES: Final = 256 * 1024
"""Of a message: what the guide has people tell rsyslog."""
LIVES: Final = timedelta(days=1)
_MARK: Final = b"\xef\xbb\xbf"
_HEAD: Final = re.compile(rb"<\d{1,3}>1 ")


@dataclass(frozen=True, slots=True)
class SyslogServer:
    """A server that listens: which program, where, whom its clients are to trust, what it wrote."""

    program: str
    port: int
    ca: Path
    out: Path

    def events(self) -> list[dict[str, Any]]:
        """Every event that came whole, in the order in which they came. PlantError for a line that
        holds none.
        """
        lines = self.out.read_bytes().split(b"\n")[:-1] if self.out.exists() else []
        try:
            return [json.loads(line.replace(_MARK, b"")) for line in lines]
        except ValueError as error:
            raise PlantError(f"{self.program} wrote what is no event: {error}") from error


def start_syslog(processes: Processes, folder: Path) -> SyslogServer:
    """A server among `processes`, its files in `folder`; ends with them."""
    private_folder(folder)
    write_certificate(folder)
    root = Path(os.environ.get("FRAMEGATE_RSYSLOG", "/"))
    program = shutil.which("rsyslogd", path=f"{root}/usr/sbin:{root}/sbin")
    driver = next(root.glob(DRIVERS), None)
    port, out = free_port(), folder / "messages"
    if program is None or driver is None:
        receiver = Receiver(folder, out)
        threading.Thread(target=receiver.serve_forever, daemon=True).start()
        name = "the demonstration's own receiver (no rsyslogd with TLS here)"
        return SyslogServer(name, receiver.server_address[1], folder / "ca.pem", out)
    config = folder / "rsyslog.conf"
    config.write_text(
        f"""
global(workDirectory="{folder}" maxMessageSize="{MOST_BYTES // 1024}k" net.enableDNS="off"
  defaultNetstreamDriverCAFile="{folder}/ca.pem"
  defaultNetstreamDriverCertFile="{folder}/ca.pem" defaultNetstreamDriverKeyFile="{folder}/key.pem")
module(load="imtcp" streamDriver.name="gtls" streamDriver.mode="1" streamDriver.authMode="anon")
template(name="bare" type="string" string="%msg%\\n")
input(type="imtcp" port="{port}" address="127.0.0.1")
action(type="omfile" file="{out}" template="bare" asyncWriting="off")
"""
    )
    modules = driver.parent
    environment = f"LD_LIBRARY_PATH={modules.parent}"  # of a package that was only unpacked
    argv = [environment, program, "-n", "-f", config, "-i", "NONE", "-M", modules]
    processes.start("rsyslog", "/usr/bin/env", *argv)
    wait_for("rsyslogd to listen", lambda: answers(port))
    return SyslogServer("rsyslogd", port, folder / "ca.pem", out)


class Receiver(socketserver.ThreadingTCPServer):
    """Takes messages over TLS on a free port of loopback and writes their text to `out`."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, folder: Path, out: Path) -> None:
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.tls.minimum_version = ssl.TLSVersion.TLSv1_2
        self.tls.load_cert_chain(folder / "ca.pem", folder / "key.pem")
        self.out: BinaryIO = out.open("ab", buffering=0)
        super().__init__(("127.0.0.1", 0), _Connection)

    def take(self, message: bytes) -> None:
        """Write one message's text. Raises ValueError where it is not RFC 5424 with a text."""
        head, mark, text = message.partition(_MARK)
        if not mark or not _HEAD.match(head) or b"\n" in text:
            raise ValueError("no message of RFC 5424 with a text in UTF-8")
        self.out.write(text + b"\n")


class _Connection(socketserver.BaseRequestHandler):
    server: Receiver

    def handle(self) -> None:
        """Frames until the peer ends, or sends what is none: then it is hung up on."""
        try:
            with (
                self.server.tls.wrap_socket(self.request, server_side=True) as peer,
                peer.makefile("rb") as stream,
            ):
                while message := _message(stream):
                    self.server.take(message)
        except (OSError, ValueError):
            return


def _message(stream: BinaryIO) -> bytes:
    """The next message; empty at the end. Raises ValueError for what is no frame."""
    digits = b""
    while (octet := stream.read(1)) != b" ":
        if not octet and not digits:
            return b""
        if not octet.isdigit() or len(digits) == MOST_DIGITS:
            raise ValueError("no length")
        digits += octet
    if not 0 < int(digits or b"0") <= MOST_BYTES:
        raise ValueError("a length that is not taken")
    message = stream.read(int(digits))
    if len(message) != int(digits):
        raise ValueError("cut short")
    return message


def write_certificate(folder: Path) -> None:
    """`ca.pem`, the server's own certificate for 127.0.0.1, and `key.pem`."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    names = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + LIVES)
        .add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, SHA256())
    )
    (folder / "ca.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
    write_private(folder / "key.pem", private_pem(key))
