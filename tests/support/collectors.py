"""Real collectors on loopback: rsyslog and syslog-ng over TLS, mosquitto, librdkafka's mock
cluster, an OTLP server from the official stubs; and a certificate for them.

Programs that Debian cannot have side by side may be unpacked from their packages: FRAMEGATE_RSYSLOG
and FRAMEGATE_SYSLOG_NG name such roots.
"""

import os
import shutil
import socket
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2 as collector
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2_grpc as collector_rpc

from framegate.identity.pem import private_pem
from framegate_simulators.plant.processes import free_port

LIBRARIES = "usr/lib/x86_64-linux-gnu"


def self_signed(folder: Path) -> None:
    """`ca.pem`, which is the server's own certificate, and `key.pem` for 127.0.0.1."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    names = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, SHA256())
    )
    folder.mkdir(exist_ok=True, parents=True)
    (folder / "ca.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
    (folder / "key.pem").write_bytes(private_pem(key))


@contextmanager
def running(argv, port, log: Path, env=None, seconds: float = 30):
    """A program that listens on `port`."""
    with log.open("ab") as out:
        process = subprocess.Popen(argv, stdout=out, stderr=out, env=env)
    try:
        end = time.monotonic() + seconds
        while True:
            assert process.poll() is None, log.read_text()
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert time.monotonic() < end, log.read_text()
            time.sleep(0.02)
        yield process
    finally:
        process.kill()
        process.wait()


def _program(name: str, variable: str) -> tuple[Path, Path]:
    """(the program, the root it is in). Skips, loudly, where it is absent."""
    root = Path(os.environ.get(variable, "/"))
    program = shutil.which(name, path=f"{root}/usr/sbin")
    if program is None:
        pytest.skip(f"{name} is not installed: apt-get install it, or name its root in {variable}")
    return Path(program), root


@contextmanager
def rsyslog(folder: Path, out: Path, template: str = "bare"):
    """rsyslog, which takes RFC 5425 over TLS and writes each message as a line: by itself (`bare`),
    in JSON (`json`), or as a template of its own has it; its port.
    """
    program, root = _program("rsyslogd", "FRAMEGATE_RSYSLOG")
    modules = root / LIBRARIES / "rsyslog"
    if not (modules / "lmnsd_gtls.so").exists():
        pytest.skip("rsyslog without TLS: apt-get install rsyslog-gnutls")
    port = free_port()
    (folder / "rsyslog.conf").write_text(
        f"""
global(workDirectory="{folder}" maxMessageSize="256k" net.enableDNS="off"
  defaultNetstreamDriverCAFile="{folder}/ca.pem"
  defaultNetstreamDriverCertFile="{folder}/ca.pem" defaultNetstreamDriverKeyFile="{folder}/key.pem")
module(load="imtcp" streamDriver.name="gtls" streamDriver.mode="1" streamDriver.authMode="anon")
template(name="bare" type="string" string="%msg%\\n")
template(name="json" type="string" string="%jsonmesg%\\n")
input(type="imtcp" port="{port}" address="127.0.0.1")
action(type="omfile" file="{out}" template="{template}" asyncWriting="off")
"""
    )
    argv = [program, "-n", "-f", folder / "rsyslog.conf", "-i", "NONE", "-M", modules]
    env = {"LD_LIBRARY_PATH": f"{root / LIBRARIES}", "PATH": "/usr/bin:/bin"}
    with running(argv, port, folder / "rsyslog.log", env):
        yield port


@contextmanager
def syslog_ng(folder: Path, out: Path):
    """syslog-ng, likewise."""
    program, root = _program("syslog-ng", "FRAMEGATE_SYSLOG_NG")
    port = free_port()
    (folder / "syslog-ng.conf").write_text(
        f"""@version: 3.38
options {{ log-msg-size(262144); keep-hostname(yes); }};
source s {{ syslog(ip("127.0.0.1") port({port}) transport("tls") tls(
  key-file("{folder}/key.pem") cert-file("{folder}/ca.pem")
  peer-verify(optional-untrusted))); }};
destination d {{ file("{out}" template("$MSG\\n")); }};
log {{ source(s); destination(d); }};
"""
    )
    share = root / "usr/share/syslog-ng"
    argv = [program, "-F", "-f", folder / "syslog-ng.conf", "-R", folder / "persist"]
    argv += ["-c", folder / "control", "--no-caps", "-p", folder / "pid"]
    modules = root / "usr/lib/syslog-ng"
    inner = next((d for d in sorted(modules.glob("[0-9]*"))), modules)
    if root != Path("/"):
        argv += [f"--module-path={inner}"]
    libraries = [modules, root / LIBRARIES, root / "lib/x86_64-linux-gnu"]
    env = {
        "LD_LIBRARY_PATH": ":".join(map(str, libraries)),
        "PATH": "/usr/bin:/bin",
        "SYSLOG_NG_SHARE": str(share),
    }
    with running(argv, port, folder / "syslog-ng.log", env):
        yield port


class OtlpCollector(collector_rpc.LogsServiceServicer):
    """The collector's logs service; `code` is answered instead, `reject` are ids it rejects."""

    def __init__(self) -> None:
        self.records: list = []
        self.code: grpc.StatusCode | None = None
        self.reject: set[str] = set()

    def Export(self, request, context):
        if self.code is not None:
            context.abort(self.code, "not now")
        records = [
            r for rl in request.resource_logs for sl in rl.scope_logs for r in sl.log_records
        ]
        bad = [r for r in records if r.attributes[0].value.string_value in self.reject]
        reply = collector.ExportLogsServiceResponse()
        if bad:
            reply.partial_success.rejected_log_records = len(bad)
            reply.partial_success.error_message = "odd"
            return reply
        self.records += records
        return reply


@contextmanager
def otlp_server(folder: Path, *, tls: bool):
    """(an OTLP server from the official stubs, its address)."""
    server = grpc.server(ThreadPoolExecutor(2))
    service = OtlpCollector()
    collector_rpc.add_LogsServiceServicer_to_server(service, server)
    if tls:
        pair = ((folder / "key.pem").read_bytes(), (folder / "ca.pem").read_bytes())
        port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([pair]))
    else:
        port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield service, f"127.0.0.1:{port}"
    finally:
        server.stop(0).wait(10)


@contextmanager
def kafka_cluster():
    """librdkafka's mock cluster; its bootstrap address."""
    kafka = pytest.importorskip("confluent_kafka", reason="the extra kafka is not installed")
    owner = kafka.Producer({"test.mock.num.brokers": 3, "bootstrap.servers": "mock"})
    brokers = owner.list_topics(timeout=10).brokers.values()
    yield ",".join(f"{b.host}:{b.port}" for b in brokers)
    owner.flush(0)


@contextmanager
def mqtt_broker(folder: Path, *, tls: bool = True):
    """mosquitto for anybody; its port."""
    program = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if program is None:
        pytest.skip("mosquitto is not installed: apt-get install mosquitto")
    port = free_port()
    keys = f"certfile {folder}/ca.pem\nkeyfile {folder}/key.pem\n" if tls else ""
    user = "user root\n" if os.geteuid() == 0 else ""
    (folder / "mosquitto.conf").write_text(
        f"listener {port} 127.0.0.1\n{keys}allow_anonymous true\n{user}"
    )
    argv = [program, "-c", folder / "mosquitto.conf"]
    with running(argv, port, folder / "mosquitto.log"):
        yield port
