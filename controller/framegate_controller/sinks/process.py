"""A sink's process: `python -m framegate_controller.sinks.process LINE`.

It is given its end of a pair of sockets: its setup comes first, then batches, one at a time, each
of which it answers. It goes into its cage (`cage`) before it reads what a collector says, and ends
with the controller.
"""

from __future__ import annotations

import logging
import resource
import signal
import socket
import sys
from pathlib import Path
from typing import Final

from framegate.errors import FramegateError, Malformed, Reason, Unavailable
from framegate.ocsf.event import ocsf_event
from framegate.ocsf.logged import LoggedEvent
from framegate.registry.sink import SinkKind
from framegate_controller.sinks.cage import caged_sink, hosts_of
from framegate_controller.sinks.credentials import Credentials
from framegate_controller.sinks.delivery import Outgoing, SinkDriver, SinkFailed, delivered
from framegate_controller.sinks.kept_names import KeptNames
from framegate_controller.sinks.messages import (
    LENGTH_BYTES,
    MAX_MESSAGE,
    Answer,
    BatchEntry,
    SinkSetup,
    parse_batch,
)
from framegate_controller.sinks.peer_end import PeerWatch
from framegate_host.confinement import Confinement
from framegate_host.logs import start_logging

log = logging.getLogger(__name__)
MEMORY_BYTES: Final = 512 * 1024 * 1024
"""Of data: a sink's server that makes it grow ends it, and nothing else."""

_STANDARD: Final = (0, 1, 2)


def main() -> None:
    """Serve until the controller is gone."""
    line = socket.socket(fileno=int(sys.argv[1]))
    start_logging(verbose=False)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the group; the controller ends us
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        serve(line)
    except (EOFError, ConnectionError):
        log.info("the controller is gone")


def serve(line: socket.socket) -> None:
    """Answer batches. Raises EOFError, ConnectionError where the controller is gone."""
    setup = SinkSetup.parse(_receive(line))
    driver: SinkDriver | None = None
    hosts = hosts_of(setup.address) if setup.address else ()
    peers = PeerWatch(setup.name, hosts, Credentials(Path(setup.folder)))
    confinement = Confinement(caged_sink(setup).cage, required=not setup.unconfined)
    while True:
        entries = parse_batch(_receive(line))
        batch = [outgoing(setup, entry) for entry in entries]
        try:
            driver = driver or confined_driver(setup, confinement, line)
            answer = delivered(driver, batch)
        except Unavailable as error:
            answer = Answer(confirmed=batch[0].index, failed=str(error))
        except SinkFailed as error:
            answer = Answer(confirmed=batch[0].index, failed=str(error), retry_s=error.retry_s)
        _send(line, answer.marshal())
        if driver is not None:  # in its cage from then on
            peers.look()


def confined_driver(setup: SinkSetup, confinement: Confinement, line: socket.socket) -> SinkDriver:
    """What speaks to the sink, in its cage from here on.

    Names are looked up first, libraries loaded, then files, ports and system calls closed. Raises
    SinkFailed where a name has no address now, Unavailable (UNCONFINED).
    """
    caged = caged_sink(setup)
    names = KeptNames(caged.hosts)
    confinement.isolate((*_STANDARD, line.fileno()))
    driver = driver_of(setup)
    "x".encode("idna")  # what TLS loads on first use, and not from inside
    if caged.hosts:
        setattr(socket, "getaddrinfo", names.lookup)  # noqa: B010 - a function of typeshed's
    confinement.close_paths(caged.paths, caged.ports)
    confinement.close_calls()
    say = log.warning if confinement.lacking else log.info
    say("sink %s: %s: %s", setup.name, caged.cage.name, confinement.isolation)
    return driver


def outgoing(setup: SinkSetup, entry: BatchEntry) -> Outgoing:
    """An entry as the event that is sent. Raises Malformed."""
    logged = LoggedEvent.parse(setup.fleet, entry.raw, entry.restorations)
    return Outgoing(
        logged.uid, logged.index, logged.text("device"), ocsf_event(logged, setup.version)
    )


def driver_of(setup: SinkSetup) -> SinkDriver:
    """What speaks to the sink. A driver's libraries are imported for the sinks that need them."""
    credentials = Credentials(Path(setup.folder))
    kind, address, channel = setup.kind, setup.address, setup.channel
    if kind in {SinkKind.FILE, SinkKind.STDOUT}:
        from framegate_controller.sinks.lines import FileSink, OutputSink  # noqa: PLC0415

        return FileSink(Path(setup.folder)) if kind == SinkKind.FILE else OutputSink()
    if kind == SinkKind.SYSLOG:
        from framegate_controller.sinks.syslog import SyslogSink  # noqa: PLC0415

        return SyslogSink(address, credentials)
    if kind == SinkKind.KAFKA:
        from framegate_controller.sinks.kafka import KafkaSink  # noqa: PLC0415

        return KafkaSink(address, channel, credentials)
    if kind == SinkKind.MQTT:
        from framegate_controller.sinks.mqtt import MqttSink  # noqa: PLC0415

        return MqttSink(setup.name, address, channel, credentials)
    if kind == SinkKind.OTLP:
        from framegate_controller.sinks.otlp import OtlpGrpcSink, OtlpHttpSink  # noqa: PLC0415

        http = "://" in address
        return OtlpHttpSink(address, credentials) if http else OtlpGrpcSink(address, credentials)
    return _over_http(setup, credentials)


def _over_http(setup: SinkSetup, credentials: Credentials) -> SinkDriver:
    from framegate_controller.sinks.http import (  # noqa: PLC0415
        ElasticSink,
        HecSink,
        WebhookSink,
    )

    if setup.kind == SinkKind.HEC:
        return HecSink(setup.address, setup.channel, credentials)
    if setup.kind == SinkKind.ELASTIC:
        return ElasticSink(setup.address, setup.channel, credentials)
    return WebhookSink(setup.address, credentials)


def _receive(line: socket.socket) -> bytes:
    size = int.from_bytes(_exactly(line, LENGTH_BYTES), "big")
    if size > MAX_MESSAGE:
        raise Malformed.of(Reason.TOO_LARGE, f"at most {MAX_MESSAGE} bytes", size)
    return _exactly(line, size)


def _exactly(line: socket.socket, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        part = line.recv(size - len(data))
        if not part:
            raise EOFError
        data += part
    return bytes(data)


def _send(line: socket.socket, message: bytes) -> None:
    line.sendall(len(message).to_bytes(LENGTH_BYTES, "big") + message)


if __name__ == "__main__":
    try:
        main()
    except FramegateError as error:
        log.error("%s", error)
        raise SystemExit(1) from error
