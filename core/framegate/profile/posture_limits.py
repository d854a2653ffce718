"""A firmware profile's `[posture]`: what a machine may say of itself. Every failure says that it is
the agent's own word.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from framegate.errors import Failure, Malformed, Reason
from framegate.profile.posture import Posture

_LISTS: Final = (
    "os_ids",
    "kernels",
    "agents",
    "listeners",
    "usb",
    "video",
    "shells",
    "watched",
    "modules_denied",
)
_LOCKDOWN: Final = ("", "none", "integrity", "confidentiality")
SELF_REPORTED: Final = "self-reported by the agent"


@dataclass(frozen=True, slots=True)
class PostureLimits:
    """None means: not limited. Lists of texts may end in `*`. `max_clock_skew_s` is against the
    controller's clock when the evidence came.
    """

    os_ids: tuple[str, ...]
    kernels: tuple[str, ...] | None = None
    agents: tuple[str, ...] | None = None
    listeners: tuple[str, ...] | None = None
    usb: tuple[str, ...] | None = None
    video: tuple[str, ...] | None = None
    shells: tuple[str, ...] | None = None
    watched: tuple[str, ...] | None = None
    modules_denied: tuple[str, ...] | None = None
    lockdown: str = ""
    encrypted_root: bool = False
    firewall: bool = False
    max_clock_skew_s: int | None = None


def parse_limits(table: dict[str, Any]) -> PostureLimits:
    """The limits in a profile's table. Raises Malformed (PROFILE_INVALID); unknown members are
    errors.
    """
    known = {*_LISTS, "lockdown", "encrypted_root", "firewall", "max_clock_skew_s"}
    values: dict[str, Any] = {}
    for name, value in table.items():
        good = name in known and (
            (name in _LISTS and type(value) is list and all(type(v) is str for v in value))
            or (name == "lockdown" and value in _LOCKDOWN)
            or (name in {"encrypted_root", "firewall"} and type(value) is bool)
            or (name == "max_clock_skew_s" and type(value) is int and value > 0)
        )
        if not good:
            raise Malformed.of(
                Reason.PROFILE_INVALID,
                f"posture members {', '.join(sorted(known))}",
                f"{name} = {str(value)[:60]!a}",
                "see firmware_profiles/README.md",
            )
        values[name] = tuple(value) if type(value) is list else value
    if not values.get("os_ids"):
        raise Malformed.of(
            Reason.PROFILE_INVALID,
            "os_ids as a list of strings that is not empty",
            "nothing",
            "see firmware_profiles/README.md",
        )
    return PostureLimits(**values)


def posture_failures(posture: Posture, limits: PostureLimits, now_ms: int | None) -> list[Failure]:
    """Every way in which `posture` breaks `limits`; `now_ms` is the controller's clock, None where
    nobody knows (a file, later).
    """
    failures = []
    wanted = {
        "os_ids": [posture.os_id],
        "kernels": [posture.kernel],
        "agents": [posture.agent_sha256],
        "listeners": posture.listeners,
        "usb": posture.usb,
        "video": posture.video,
        "shells": posture.shells,
        "watched": posture.watched,
    }
    for name, seen in wanted.items():
        allowed = getattr(limits, name)
        if allowed is not None:
            failures += [
                _failure(f"{name} {' or '.join(allowed[:8]) or 'none'}", s)
                for s in seen
                if not _matches(s, allowed)
            ]
    failures += [
        _failure("module not loaded", m)
        for m in posture.modules
        if limits.modules_denied and _matches(m, limits.modules_denied)
    ]
    if _LOCKDOWN.index(limits.lockdown) > (
        _LOCKDOWN.index(posture.lockdown) if posture.lockdown in _LOCKDOWN else 0
    ):
        failures.append(
            _failure(f"kernel lockdown {limits.lockdown}", posture.lockdown or "unknown")
        )
    if limits.encrypted_root and posture.encrypted_root != 1:
        failures.append(
            _failure(
                "an encrypted root disk",
                "unencrypted" if posture.encrypted_root == 0 else "unknown",
            )
        )
    if limits.firewall and posture.firewall < 1:
        failures.append(_failure("firewall rules", "none" if posture.firewall == 0 else "unknown"))
    if (
        limits.max_clock_skew_s is not None
        and now_ms is not None
        and abs(posture.clock_ms - now_ms) > 1000 * limits.max_clock_skew_s
    ):
        failures.append(
            _failure(
                f"a clock within {limits.max_clock_skew_s} s",
                f"{(posture.clock_ms - now_ms) / 1000:+.0f} s",
            )
        )
    return failures


def posture_changes(before: Posture, after: Posture) -> list[str]:
    """What came and went between two reports of one machine, in words; a machine that only grew
    older says nothing.
    """
    singular = {
        "listeners": "listener",
        "usb": "USB device",
        "video": "video device",
        "shells": "user with a shell",
        "modules": "kernel module",
        "watched": "watched file",
    }
    lines = []
    for name, word in singular.items():
        old, new = set(getattr(before, name)), set(getattr(after, name))
        lines += [f"new {word} {v}" for v in sorted(new - old)] + [
            f"{word} gone {v}" for v in sorted(old - new)
        ]
    for name in (
        "kernel",
        "agent_sha256",
        "lockdown",
        "encrypted_root",
        "firewall",
        "secure_boot",
        "reboot_pending",
    ):
        old_value, new_value = getattr(before, name), getattr(after, name)
        if old_value != new_value:
            lines.append(f"{name.replace('_', ' ')} {old_value} -> {new_value}")
    return lines


def _matches(text: str, allowed: tuple[str, ...]) -> bool:
    return any(text == a or (a.endswith("*") and text.startswith(a[:-1])) for a in allowed)


def _failure(expected: str, actual: str) -> Failure:
    return Failure(Reason.POSTURE, expected, actual[:200], SELF_REPORTED)
