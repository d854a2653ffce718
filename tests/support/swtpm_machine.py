"""A machine of software with a real TPM (swtpm), and a folder for its sockets."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from framegate_simulators.machine.boot import Firmware
from framegate_simulators.machine.machine import Machine


@pytest.fixture
def socket_folder() -> Iterator[Path]:
    """A folder whose path is short enough for the name of a socket."""
    with tempfile.TemporaryDirectory(prefix="fg-") as folder:
        yield Path(folder)


@pytest.fixture
def machine(socket_folder: Path, maker) -> Iterator[Machine]:
    """A machine of a known maker that has booted."""
    running = Machine(socket_folder / "m", maker, Firmware("simulated-camera"))
    running.power_on()
    yield running
    running.power_cut()
