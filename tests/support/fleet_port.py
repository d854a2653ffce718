"""A running controller's ports, and channels to them with any certificate."""

import asyncio
import contextlib
import sys
from datetime import UTC, datetime, timedelta

import grpc
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from framegate.identity.certificates import Purpose
from framegate.identity.names import Kind
from framegate.identity.pem import private_pem
from framegate_controller.ca.issue import certify
from framegate_controller.ca.template import leaf_template
from framegate_controller.fleet.answer import Answer
from framegate_controller.fleet.profiles import add_profile
from framegate_controller.fleet.tickets import Invitation, invite
from framegate_controller.server import Controller
from framegate_controller.settings import ControllerSettings
from framegate_controller.store.database import Database
from framegate_simulators.forge.forge import Forge
from framegate_simulators.machine.boot import Firmware, profile_toml
from framegate_simulators.machine.ima import allowlist_of
from support.founded import found_controller


def _frames(frame):
    while frame is not None:
        yield frame
        frame = frame.f_back


def asked_by_a_test(names: list[str]) -> bool:
    """Tests may block their own loop."""
    return any(name.startswith(("test_", "support.")) for name in names)


@pytest.fixture
def off_the_loop(monkeypatch):
    """N143: whoever of the controller opens a transaction on the event loop, which then serves
    nobody until the disk answers. Nobody may be in it at the end.
    """
    culprits: list[str] = []
    for name in ("reading", "writing"):
        opened = getattr(Database, name)

        def seen(self, *, opened=opened, **how):
            with contextlib.suppress(RuntimeError):
                asyncio.get_running_loop()
                caller = sys._getframe(1)
                names = [frame.f_globals["__name__"] for frame in _frames(caller)]
                if names[0].startswith("framegate_controller") and not asked_by_a_test(names):
                    culprits.append(f"{names[0]}:{caller.f_lineno}")
            return opened(self, **how)

        monkeypatch.setattr(Database, name, seen)
    yield culprits
    assert not culprits, "transactions on the event loop"


@pytest.fixture
async def controller(tmp_path, off_the_loop):
    """A running controller, and the keys of its fleet."""
    fleet = found_controller(tmp_path)
    running = Controller(ControllerSettings(state=tmp_path, join_port=0, fleet_port=0))
    await running.start()
    off_the_loop.clear()  # what looks at the registry before there is a port holds up nobody
    yield running, fleet
    await running.stop(0)


def credentials(
    fleet, label: str, purpose: Purpose, name: str, life_s: float = 600
) -> tuple[bytes, bytes]:
    """Key and chain of a certificate that the fleet's CA `label` signed."""
    key = ec.generate_private_key(ec.SECP256R1())
    leaf = certify(
        fleet.issuing[label],
        leaf_template(
            purpose, name, key.public_key(), timedelta(seconds=life_s), datetime.now(UTC)
        ),
    )
    return private_pem(key), leaf.public_bytes(Encoding.PEM) + fleet.issuing[label].pem


def channel(
    controller: Controller, fleet, pair: tuple[bytes, bytes] | None, address: str = ""
) -> grpc.aio.Channel:
    """A channel to the fleet port, or to `address`, with that pair or without one."""
    tls = grpc.ssl_channel_credentials(fleet.root.pem, *(pair or (None, None)))
    options = (
        ("grpc.ssl_target_name_override", "controller.plant.framegate"),
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.max_send_message_length", -1),
    )
    return grpc.aio.secure_channel(address or controller.fleet_address, tls, options=options)


def invited(running: Controller, maker, kind: Kind, name: str, zone: str) -> Forge:
    """A machine with a ticket, and a profile that it fits."""
    profile = f"simulated-{kind}"
    forge = Forge(maker, Firmware(profile))
    invitation = Invitation(
        kind=kind,
        zone=zone,
        name=name,
        profile=profile,
        ek_sha256=forge.ek_sha256,
        code=b"c" * 16,
        life_s=60,
    )
    with running.store.writing() as tx:
        tx.evidence.add_allowlist(allowlist_of(profile, forge.firmware.release), 0)
        add_profile(tx, running.fleet.keys, profile_toml(forge.firmware, profile).encode())
        invite(tx, invitation)
    return forge


def joined(running: Controller, forge: Forge, code: bytes) -> Answer:
    """What the controller answers to a machine that joins with a ticket's code."""
    hello = forge.hello(code)
    begun = running.verifier.begin_join(hello, "p")
    mac, evidence = forge.answer(running.fleet.digest, hello, begun.challenge)
    return running.verifier.complete_join(begun.state, mac, evidence)
