"""A remark of `lint`, and those about protections that were off when a machine was learnt from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from framegate.eventlog.content import weakening
from framegate.profile.model import FirmwareProfile


@dataclass(frozen=True, slots=True)
class Remark:
    """One remark of `lint`; `error` ones should keep a profile from being signed."""

    error: bool
    about: str
    text: str


def weakened(profile: FirmwareProfile) -> Iterator[Remark]:
    """Protections that a machine may, or even must, have had off."""
    for rule in profile.rules:
        for digest in sorted(rule.digests or ()):
            if told := weakening(rule.pcr, digest, profile.selection.bank):
                demands = "demanded of every machine" if rule.required else "allowed"
                yield Remark(rule.required, rule.name, f"{told}: {demands}")
