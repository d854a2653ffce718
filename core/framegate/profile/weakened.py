"""What of a firmware profile another revision of it no longer demands, in words for whoever
approves it (N243).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from typing import Final

from framegate.profile.model import FirmwareProfile, SecureBoot
from framegate.profile.posture_limits import PostureLimits

MOST_TOLD: Final = 12
"""Members that stand in one sentence: the whole difference is shown beside it."""


_PATHS: Final = 4


def weakened_profile(before: FirmwareProfile, after: FirmwareProfile) -> tuple[str, ...]:
    """Each member that goes or gives way. Digests that are other ones, and texts that are, say
    nothing: they are what a revision is made for.
    """
    said = (
        *_covered(before, after),
        *_secure_boot(before.secure_boot, after.secure_boot),
        *_required(before, after),
        *_posture(before.posture, after.posture),
        *_ima(before, after),
    )
    more = len(said) - MOST_TOLD
    return said if more <= 0 else (*said[:MOST_TOLD], f"and {more} more")


def _covered(before: FirmwareProfile, after: FirmwareProfile) -> Iterator[str]:
    gone = sorted(set(before.selection.pcrs) - set(after.selection.pcrs))
    if gone:
        yield f"PCR {', '.join(map(str, gone))} no longer covered"
    if before.kind is not None and after.kind is not before.kind:
        yield f"for {'any machine' if after.kind is None else after.kind}, before {before.kind}"
    if before.tpm_firmware is not None and after.tpm_firmware is None:
        yield "any firmware of the TPM"
    if quirks := sorted(after.quirks - before.quirks):
        yield f"quirks {', '.join(quirks)}"


def _secure_boot(before: SecureBoot, after: SecureBoot) -> Iterator[str]:
    if before.required and not after.required:
        yield "Secure Boot no longer required"
    if lost := len((before.dbx_minimum or frozenset()) - (after.dbx_minimum or frozenset())):
        yield f"{lost} revoked hashes no longer demanded of dbx"
    now = after.sbat_minimum or {}
    for component, generation in (before.sbat_minimum or {}).items():
        if now.get(component, 0) < generation:
            yield f"SBAT {component} from {now.get(component, 0)} on, before {generation}"


def _required(before: FirmwareProfile, after: FirmwareProfile) -> Iterator[str]:
    """By PCR and name: a revision that renames what it requires is told too."""
    now = set(_demanded(after))
    for pcr, name in _demanded(before):
        if (pcr, name) not in now:
            yield f"PCR {pcr}: {name} no longer required"
    open_before = {r.pcr for r in before.rules if r.digests is None}
    for rule in after.rules:
        if rule.digests is None and rule.pcr not in open_before:
            yield f"PCR {rule.pcr}: anything"


def _demanded(profile: FirmwareProfile) -> Iterator[tuple[int, str]]:
    """PCR and name of every event and text that it requires."""
    yield from ((rule.pcr, rule.name) for rule in profile.rules if rule.required)
    yield from ((rule.pcr, rule.name) for rule in profile.texts if rule.required)


def _posture(before: PostureLimits, after: PostureLimits) -> Iterator[str]:
    for member in fields(PostureLimits):
        was, now = getattr(before, member.name), getattr(after, member.name)
        if was and not now:
            yield f"posture {member.name.replace('_', ' ')} no longer limited"


def _ima(before: FirmwareProfile, after: FirmwareProfile) -> Iterator[str]:
    if before.ima is None:
        return
    if after.ima is None:
        yield "files that run no longer measured (IMA)"
        return
    if after.ima.max_violations > before.ima.max_violations:
        yield f"{after.ima.max_violations} violations allowed, before {before.ima.max_violations}"
    for what, gone in (
        ("files no longer required", set(before.ima.required) - set(after.ima.required)),
        ("not judged", set(after.ima.exclude) - set(before.ima.exclude)),
    ):
        if gone:
            paths = [path.decode("utf-8", "backslashreplace") for path in sorted(gone)]
            yield f"{what}: {', '.join(paths[:_PATHS])}{' …' * (len(paths) > _PATHS)}"
