"""What services may do is said in their units, and each says it: which rights, which folders, which
addresses, and that they come back.
"""

from pathlib import Path

import pytest

from support.paths import ROOT

UNITS = sorted((ROOT / "packaging/systemd").glob("*.service"))
RIGHTS = {"framegate-segment": "CAP_NET_ADMIN"}
"""Of every other service none."""
PRIVATE = "localhost link-local 10.0.0.0/8 172.16.0.0/12 192.168.0.0/16 fc00::/7"
NAMESPACES = {
    "framegate-agent": "user mnt net ipc uts",
    "framegate-gateway": "user mnt net ipc uts",
}
"""Theirs put children into cages; the controller's sinks are confined by limits alone."""


def said(path: Path, name: str) -> list[str]:
    """Every value of a directive, in order; one that is empty takes back those before it."""
    lines = (line.partition("=") for line in path.read_text("utf-8").splitlines())
    return [value.strip() for key, _, value in lines if key == name]


def test_there_is_a_unit_for_every_program():
    assert len(UNITS) == 6


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.stem)
def test_a_service_has_no_right_that_is_not_named_here(unit):
    right = RIGHTS.get(unit.stem, "")
    assert said(unit, "CapabilityBoundingSet") == [right]
    assert said(unit, "AmbientCapabilities") == ([right] if right else [])
    assert said(unit, "NoNewPrivileges") == ["yes"]
    assert said(unit, "User") == [unit.stem]
    assert said(unit, "RestrictNamespaces") == [NAMESPACES.get(unit.stem, "yes")]


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.stem)
def test_its_files_are_its_own_and_its_memory_leaves_no_trace(unit):
    assert said(unit, "StateDirectoryMode") == ["0700"] and said(unit, "UMask") == ["0077"]
    assert said(unit, "ProtectSystem") == ["strict"] and said(unit, "LimitCORE") == ["0"]


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.stem)
def test_it_speaks_to_private_addresses_alone(unit):
    assert said(unit, "IPAddressDeny") == ["any"] and said(unit, "IPAddressAllow") == [PRIVATE]


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.stem)
def test_one_that_crashed_or_stands_still_is_started_again_for_ever(unit):
    assert said(unit, "Restart") == ["on-failure"] and said(unit, "StartLimitIntervalSec") == ["0"]
    assert said(unit, "WatchdogSec") == ["30"]


def test_on_a_gateways_host_the_agent_has_one_right_and_no_camera():
    drop_in = ROOT / "packaging/systemd/framegate-agent.service.d/10-gateway.conf"
    assert said(drop_in, "CapabilityBoundingSet") == ["CAP_SYS_PTRACE"]
    assert said(drop_in, "AmbientCapabilities") == ["CAP_SYS_PTRACE"]
    assert said(drop_in, "DeviceAllow") == ["", "/dev/tpmrm0 rw"]
    assert said(drop_in, "SupplementaryGroups") == ["", "tss"]
    assert said(drop_in, "RestrictNamespaces") == ["", "yes"]
