"""A real mosquitto on loopback, with certificates of a fleet."""

import os
import shutil
import socket
import subprocess
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from framegate.identity.pem import private_pem
from framegate_controller.ca.issue import issue_broker_client, issue_line, issue_server
from framegate_host.broker_client import Broker
from framegate_host.broker_tls import broker_context
from framegate_operator.broker import mosquitto_acl
from framegate_operator.broker_config import BrokerFiles, mosquitto_conf
from framegate_simulators.fixtures.access import certificate_request
from framegate_simulators.plant.processes import free_port

NAME = "broker.plant.framegate"
CAMERA, GATEWAY, LINE = "camera.line-1.cam1", "gateway.line-1.gw1", "press-7"
PEM = Encoding.PEM
START_S = 30.0
"""A broker is there in a moment, on a busy machine later."""
PROGRAM = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


@dataclass
class Mosquitto:
    """A broker whose configuration is `framegate broker config`'s, less the lines `without`."""

    folder: Path
    keys: object
    port: int = 0
    process: subprocess.Popen | None = None

    def __post_init__(self) -> None:
        self.port = free_port()
        self.certify(datetime.now(UTC))
        (self.folder / "clients.pem").write_bytes(
            self.keys.generations_pem("gateway-ca", "broker-ca", "operator-ca") + self.keys.root.pem
        )
        (self.folder / "acl").write_text(mosquitto_acl([CAMERA, GATEWAY], [LINE]))

    def certify(self, at: datetime) -> None:
        """Bring it a certificate that was made at that time; it takes it at its next start."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = issue_server(self.keys, "broker", key.public_key(), at)
        (self.folder / "broker.key").write_bytes(private_pem(key))
        (self.folder / "broker.pem").write_bytes(
            certificate.public_bytes(PEM) + self.keys.issuing["server-ca"].pem
        )

    @property
    def broker(self) -> Broker:
        return Broker("127.0.0.1", self.port)

    def start(self, *without: str) -> None:
        files = BrokerFiles(folder=self.folder, name="broker", acl=self.folder / "acl")
        user = "root" if os.geteuid() == 0 else ""
        text = mosquitto_conf(files, ("127.0.0.1", self.port), user=user)
        lines = [line for line in text.splitlines() if line not in without]
        assert len(lines) == len(text.splitlines()) - len(without)
        (self.folder / "mosquitto.conf").write_text("\n".join(lines) + "\n")
        log = (self.folder / "log").open("ab")
        self.process = subprocess.Popen(
            [PROGRAM, "-c", str(self.folder / "mosquitto.conf")], stdout=log, stderr=log
        )
        end = time.monotonic() + START_S
        while time.monotonic() < end:
            assert self.process.poll() is None, (self.folder / "log").read_text()
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.02)
        raise AssertionError((self.folder / "log").read_text())

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def context(self, leaf, key):
        """TLS as the client with that certificate."""
        server_ca = self.keys.issuing["server-ca"].pem + self.keys.root.pem
        chain = private_pem(key) + leaf.public_bytes(PEM) + self.keys.issuing["broker-ca"].pem
        return broker_context(NAME, server_ca, chain)

    def line_context(self, name: str = LINE):
        key = ec.generate_private_key(ec.SECP256R1())
        return self.context(issue_line(self.keys, name, key.public_key()), key)

    def camera_context(self, name: str = CAMERA):
        key = ec.generate_private_key(ec.SECP256R1())
        life, now = timedelta(minutes=5), datetime.now(UTC)
        leaf = issue_broker_client(self.keys, name, certificate_request(key), life, now)
        return self.context(leaf, key)


@pytest.fixture
def mosquitto(keys, tmp_path):
    """A broker that was not started yet; stopped at the end."""
    if PROGRAM is None:
        pytest.skip("mosquitto is not installed")
    folder = tmp_path / "broker"
    folder.mkdir()
    broker = Mosquitto(folder, keys)
    yield broker
    broker.stop()
