"""N244: strangers' bytes that take the process at the join port or the bundle's port: it starts no
program, opens no file of the controller's, and reaches nothing on the network.

What its cage refuses call by call, `test_cages.py` tries in each; here are the processes that run.
"""

import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from framegate.errors import Unavailable
from framegate.identity.pem import private_pem
from framegate_controller.bundleport.messages import BundleSetup
from framegate_controller.bundleport.port import BundleEndpoint
from framegate_controller.ca.issue import issue_server
from framegate_controller.joinport.messages import Known, PortSetup
from framegate_controller.rpc.joinport import Behind, JoinPort
from framegate_host.cages import BUNDLE_PORT, CAGES, JOIN_PORT, NEVER
from framegate_simulators.process_readings import descriptors_of
from support.registries import Registry


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    keys = Registry(tmp_path_factory.mktemp("known") / "controller").keys
    key = ec.generate_private_key(ec.SECP256R1())
    leaf = issue_server(keys, "controller", key.public_key()).public_bytes(Encoding.PEM)
    return private_pem(key), leaf + keys.issuing["server-ca"].pem


def join_port(pair, **how) -> JoinPort:
    key, chain = pair
    setup = PortSetup(key=key, chain=chain, token_key=bytes(32), fleet="plant", oidc_issuer="")
    behind = Behind({}, lambda: Known(eks=b"", tickets=b""), lambda _: None, lambda _: None)
    return JoinPort(listening(), lambda: setup, behind, **how)


def bundle_port(pair, **how) -> BundleEndpoint:
    key, chain = pair
    setup = BundleSetup(key=key, chain=chain, document=b"{}")
    return BundleEndpoint(listening(), lambda: setup, **how)


def listening() -> socket.socket:
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setblocking(False)
    return listener


PORTS = {"join": join_port, "bundle": bundle_port}


@pytest.mark.parametrize("made", PORTS.values(), ids=PORTS)
async def test_n244_the_process_at_a_port_is_in_its_cage(pair, made):
    port = made(pair)
    await port.start()
    try:
        seen = list(statuses(port.pid))
        held = list(descriptors(port.pid))
    finally:
        await port.stop()
    assert seen and {(s["Seccomp"], s["NoNewPrivs"]) for s in seen} == {("2", "1")}
    assert all(each.startswith(("socket:", "anon_inode:")) for each in held)
    assert held or os.geteuid() != 0, "nobody but root looks into it, its own user neither"


def statuses(pid: int) -> Iterator[dict[str, str]]:
    """What the kernel says of each thread that is there."""
    for thread in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):  # one ended meanwhile
            lines = (thread / "status").read_text().splitlines()
            yield dict(line.split(":\t", 1) for line in lines if ":\t" in line)


def descriptors(pid: int) -> Iterator[str]:
    """What it holds but the standard ones, as far as this user may see it."""
    with contextlib.suppress(PermissionError):
        yield from (file for number, file in descriptors_of(pid) if number > 2)


@pytest.mark.parametrize("cage", [JOIN_PORT, BUNDLE_PORT], ids=lambda c: c.name)
def test_n244_no_row_of_a_port_has_a_call_that_starts_or_makes(cage):
    more = {"execve", "execveat", "fork", "vfork", "bind", "listen", "kill", "tgkill", "openat2"}
    assert not cage.calls & (NEVER | more) and not cage.foreign and CAGES[cage.name] is cage
    assert not BUNDLE_PORT.connects and not BUNDLE_PORT.threads


@pytest.fixture
def no_seccomp(tmp_path, monkeypatch):
    """A machine without libseccomp, as a child meets it."""
    folder = tmp_path / "shadow"
    folder.mkdir()
    (folder / "pyseccomp.py").write_text("raise RuntimeError('Unable to find libseccomp')\n")
    monkeypatch.setenv("PYTHONPATH", str(folder))


@pytest.mark.parametrize("made", PORTS.values(), ids=PORTS)
async def test_n244_no_port_is_served_where_its_process_cannot_be_confined(
    pair, made, no_seccomp, capfd
):
    port = made(pair)
    with pytest.raises(Unavailable):
        await port.start()
    await port.stop()
    said = capfd.readouterr().err
    assert "unconfined: expected" in said and "libseccomp" in said


@pytest.mark.parametrize("made", PORTS.values(), ids=PORTS)
async def test_n244_unless_somebody_said_so_and_then_the_log_says_it(pair, made, no_seccomp, capfd):
    port = made(pair, unconfined=True)
    await port.start()
    assert port.pid
    await port.stop()
    assert "lacks system calls" in capfd.readouterr().err
