"""How a verb or an inspection is put to the policy: the one place that shapes requests, for
controller and gateway alike.
"""

from __future__ import annotations

import ipaddress
import urllib.parse
from collections.abc import Mapping
from typing import Any

from framegate.access.policy import PLAYBOOK, Request
from framegate.access.verbs import Verb


def verb_request(  # noqa: PLR0913 - members of a record
    verb: Verb,
    *,
    operator: str,
    roles: tuple[str, ...],
    zone: str,
    frozen: bool,
    fleet: str,
    approvals: int,
    quorum: int,
    factor_age_s: int,
    source: str,
    target: str = "",
    break_glass: bool = False,
    playbook_mode: str = "",
) -> Request:
    """An operator asks to do `verb`; a playbook of that name where `playbook_mode` says in which
    mode it is in force. `source` is gRPC's peer address; `zone` is ignored for verbs on the fleet.
    """
    on_fleet = verb.on == "fleet"
    playbook = {"name": operator, "mode": playbook_mode}
    return Request(
        (PLAYBOOK if playbook_mode else "Operator", operator),
        verb.name,
        ("Fleet", fleet) if on_fleet else ("Zone", zone),
        playbook if playbook_mode else {"name": operator, "breakGlass": break_glass},
        {"name": fleet} if on_fleet else {"name": zone, "frozen": frozen},
        roles,
        {
            "approvals": approvals,
            "quorum": quorum,
            "factorAge": max(0, factor_age_s),
            "source": {"__extn": {"fn": "ip", "arg": address_text(source)}},
            "target": target,
        },
    )


def inspect_request(facts: Mapping[str, Any], device: str, model: str, zone: str) -> Request:
    """A device's frames are to be inspected by the model with this digest (hex), at a gateway of
    `zone`.
    """
    return Request(
        ("Device", device),
        "inspect",
        ("Model", model),
        facts,
        {"digest": model},
        (),
        {"zone": zone},
    )


_CLAIMS = {
    "hardware": "hardware",
    "configuration": "configuration",
    "executables": "executables",
    "file-system": "fileSystem",
    "instance-identity": "instanceIdentity",
    "runtime-opaque": "runtimeOpaque",
    "storage-opaque": "storageOpaque",
    "sourced-data": "sourcedData",
}


_POSTURE = {
    "secure_boot": "secureBoot",
    "lockdown": "lockdown",
    "encrypted_root": "encryptedRoot",
    "os_id": "osId",
    "os_version": "osVersion",
    "kernel": "kernel",
    "firewall": "firewallRules",
    "reboot_pending": "rebootPending",
    "clock_synchronised": "clockSynchronised",
    "agent_sha256": "agentDigest",
    "listeners": "listeners",
}


def device_facts(  # noqa: PLR0913 - members of a record
    *,
    device: str,
    kind: str,
    zone: str,
    name: str,
    state: str,
    maintenance: bool,
    profile: str,
    vector: Mapping[str, int],
    posture: Mapping[str, Any],
) -> dict[str, Any]:
    """What a policy may ask of a device. What is not known is absent, never a default: a policy
    that needs it then says so.
    """
    says = {
        theirs: posture[ours]
        for ours, theirs in _POSTURE.items()
        if posture.get(ours) not in (None, "", -1)
    }
    says |= {flag: says[flag] == 1 for flag in ("secureBoot", "encryptedRoot") if flag in says}
    return {
        "id": device,
        "name": name,
        "kind": kind,
        "zone": zone,
        "state": state,
        "maintenance": maintenance,
        "firmwareProfile": profile,
        "trustworthiness": {_CLAIMS[k]: int(v) for k, v in vector.items() if k in _CLAIMS},
        "posture": says,
    }


def address_text(peer: str) -> str:
    """The IP address in gRPC's name of a peer; 0.0.0.0 where it has none, so that no rule on
    addresses lets it in by accident.
    """
    text = urllib.parse.unquote(peer).removeprefix("ipv4:").removeprefix("ipv6:")
    for candidate in (
        text,
        text.rsplit(":", 1)[0],
        text.strip("[]"),
        text.rsplit(":", 1)[0].strip("[]"),
    ):
        try:
            return str(ipaddress.ip_address(candidate))
        except ValueError:
            continue
    return "0.0.0.0"  # noqa: S104 - no address to listen on
