"""What must hold in every boot log whatever the machine: separators, data that matches its digest,
no smuggled markers.
"""

from __future__ import annotations

import hashlib
from typing import Final

from framegate.errors import Failure, Reason
from framegate.eventlog.event_type import EventType
from framegate.eventlog.parse import NEVER_EXTENDED, NO_ACTION, BootEvent, BootLog
from framegate.tpm.constants import HASH_NAME, Alg

SEPARATED_PCRS: Final = range(8)
"""PCRs in which the firmware marks the hand-over to the operating system (PFP 3.3.4)."""
_SEPARATORS: Final = (b"\0\0\0\0", b"\xff\xff\xff\xff")
_SEPARATOR: Final = int(EventType.SEPARATOR)
_HASHED: Final = frozenset(
    {
        EventType.SEPARATOR,
        EventType.EFI_VARIABLE_DRIVER_CONFIG,
        EventType.EFI_VARIABLE_AUTHORITY,
        EventType.EFI_ACTION,
    }
)
"""Event types whose digest is the hash of their data; for boot applications and firmware blobs the
data only describes.
"""


BOOT_POLICY: Final = frozenset(
    {"SecureBoot", "PK", "KEK", "db", "dbx", "dbt", "dbr", "SetupMode", "AuditMode", "DeployedMode"}
)
"""Variables that decide what may boot: fixed once PCR 7's separator is measured (PFP 3.3.4.8)."""


def structural_failures(log: BootLog, bank: Alg) -> tuple[Failure, ...]:
    """Every structural fault of `log` as seen in `bank`, in the order met; empty for a sound log.

    1. each of PCR 0 to 7 has exactly one separator, found by its *digest*, since types are not
       covered (N40, N43, N47);
    2. in PCR 0 to 7 nothing calls itself a separator without being one (error separators included;
       above, operating systems have their own);
    3. separators, UEFI variables and UEFI actions have data that hashes to their digest (N41),
       variables but for the byte that old versions of shim logged behind the record without hashing
       it, separators and actions but for zeros to the end of a slot of fixed size (`covered`);
    4. the boot-policy variables come before PCR 7's separator, each once (N43);
    5. EV_NO_ACTION events carry no digest (N42), outside the pseudo PCR.
    """
    new = getattr(hashlib, HASH_NAME[bank])
    separators = {new(s).digest(): s for s in _SEPARATORS}
    column = log.column(bank)
    count = dict.fromkeys(SEPARATED_PCRS, 0)
    variables: set[bytes] = set()
    failures: list[Failure] = []
    for event in log.events:
        digest, kind = event.digests[column], event.type
        if kind == NO_ACTION:
            if event.pcr != NEVER_EXTENDED and any(any(d) for d in event.digests):  # 5
                failures.append(
                    _at(event, Reason.EVENT_DATA, "no digest in EV_NO_ACTION", "a digest")
                )
            continue
        if event.pcr == NEVER_EXTENDED:
            continue
        if digest in separators and event.pcr in count:
            count[event.pcr] += 1  # 1
        elif kind == _SEPARATOR and event.pcr in count:  # 2
            failures.append(
                _at(
                    event,
                    Reason.SEPARATOR,
                    "separator value 00000000 or ffffffff",
                    event.data[:8].hex() or "nothing",
                )
            )
        if (
            kind in _HASHED
            and separators.get(digest) != event.data
            and new(event.data).digest() != digest
            and not any(new(d).digest() == digest for d in covered(event))
        ):  # 3
            failures.append(
                _at(
                    event,
                    Reason.EVENT_DATA,
                    f"data that hashes to {digest.hex()[:16]}…",
                    f"{new(event.data).hexdigest()[:16]}…",
                )
            )
        if event.pcr == 7 and kind == EventType.EFI_VARIABLE_DRIVER_CONFIG:  # 4
            name = variable_name(event.data)
            if (count[7] or name in variables) and name[16:].decode(
                "utf-16-le", "replace"
            ) in BOOT_POLICY:
                failures.append(
                    _at(
                        event,
                        Reason.SEPARATOR,
                        "boot-policy variables once, before the separator",
                        ascii(name[16:].decode("utf-16-le", "replace")),
                    )
                )
            variables.add(name)
    failures += [
        Failure(
            Reason.SEPARATOR,
            f"one separator in PCR {pcr}",
            f"{seen}",
            "the firmware did not hand over as it must, or the bank is not in use",
        )
        for pcr, seen in count.items()
        if seen != 1
    ]
    return tuple(failures)


def covered(event: BootEvent) -> tuple[bytes, ...]:
    """What the digest of an event whose data is hashed may be of: all of its data; of a variable
    what `variable_record` says; of a separator or action what stands before zeros.

    coreboot logs every event with a data size of 50 (commonlib/bsd/tpm2_log_serialized.h).
    """
    data = event.data
    if event.type == EventType.SEPARATOR:
        return (data,) if any(data[4:]) else (data, data[:4])
    if event.type == EventType.EFI_ACTION:
        text = data.rstrip(b"\0")
        return (data, text, text + b"\0")
    return (data, variable_record(data))


def edited_after_measuring(log: BootLog, bank: Alg) -> tuple[Failure, ...]:
    """The structural faults that no firmware makes and an editor of the log does, whatever the
    replay says: grounds to refuse it without a profile.

    1. a boot-policy variable's digest is neither that of its data nor that of its value alone,
       which firmware of TPM 1.2's time hashed without the head before it;
    2. some of PCR 0 to 7 have two separators and others one, and the second comes where no firmware
       measures one: in PCR 1 to 7, or in PCR 0 after the hand-over. Before it, firmware measures
       parts that hold four zeros into PCR 0 as it does any other.

    Either way `structural_failures` tells of it: a finding, which a profile refuses.
    """
    column = log.column(bank)
    faults = [
        _at(
            event,
            Reason.EVENT_DATA,
            f"{name} as it was measured, {event.digests[column].hex()[:16]}…",
            f"{hashlib.new(HASH_NAME[bank], event.data).hexdigest()[:16]}…",
        )
        for event in log.events
        if event.pcr == 7
        and (name := _policy_variable(event))
        and not _measured_so(event, bank, column)
    ]
    return (*faults, *_second_separators(log, bank))


def _policy_variable(event: BootEvent) -> str:
    """Name of the boot-policy variable that `event` tells of, else nothing."""
    if event.pcr != 7 or event.type != EventType.EFI_VARIABLE_DRIVER_CONFIG:
        return ""
    name = variable_name(event.data)[16:].decode("utf-16-le", "replace")
    return name if name in BOOT_POLICY else ""


def _measured_so(event: BootEvent, bank: Alg, column: int) -> bool:
    new, value = getattr(hashlib, HASH_NAME[bank]), variable_value(event.data)
    alone = () if value is None else (value,)
    return any(new(d).digest() == event.digests[column] for d in (*covered(event), *alone))


def _second_separators(log: BootLog, bank: Alg) -> list[Failure]:
    new, column = getattr(hashlib, HASH_NAME[bank]), log.column(bank)
    separators = {new(s).digest() for s in _SEPARATORS}
    count, closed, late = dict.fromkeys(SEPARATED_PCRS, 0), set[int](), False
    for event in [e for e in log.events if e.digests[column] in separators]:
        if event.pcr in count and event.extends:
            late = late or (event.pcr == 0 and len(closed) == len(SEPARATED_PCRS))
            count[event.pcr] += 1
            closed.add(event.pcr)
    if 1 not in count.values():
        return []
    return [
        Failure(Reason.SEPARATOR, f"one separator in PCR {p}, as in the others", f"{n}")
        for p, n in count.items()
        if n > 1 and (p or late)
    ]


def variable_name(data: bytes) -> bytes:
    """GUID and UTF-16 name at the front of UEFI_VARIABLE_DATA (PFP 10.4.2.6), as raw bytes; empty
    where the sizes do not fit.
    """
    if len(data) < 32:
        return b""
    size = int.from_bytes(data[16:24], "little") * 2
    return data[:16] + data[32 : 32 + size] if size <= len(data) - 32 else b""


def variable_record(data: bytes) -> bytes:
    """What a digest covers of a logged UEFI variable: all of `data`, but where an old shim made it.

    Versions of shim until 2021 took the C structure's size for that of its head: they hashed five
    zero bytes behind the record and logged one more, whatever stood in memory. Seen on Google COS,
    Super Micro and Lenovo machines of those years; the value is the record's own all the same.
    """
    name = variable_name(data)
    end = _end(name, data)
    return data[: end + 5] if name and _has_shims_tail(data, end) else data


def variable_value(data: bytes) -> bytes | None:
    """The value in UEFI_VARIABLE_DATA, or None where the two sizes do not account for every
    byte.
    """
    name = variable_name(data)
    end = _end(name, data)
    whole = name and (len(data) == end or _has_shims_tail(data, end))
    return data[16 + len(name) : end] if whole else None


def _end(name: bytes, data: bytes) -> int:
    """Where the record of UEFI_VARIABLE_DATA ends, by its two sizes."""
    return 16 + len(name) + int.from_bytes(data[24:32], "little")


def _has_shims_tail(data: bytes, end: int) -> bool:
    return len(data) == end + 6 and data[end : end + 5] == bytes(5)


def _at(event: BootEvent, reason: Reason, expected: str, actual: str) -> Failure:
    return Failure(
        reason, f"{expected} (event {event.number}, PCR {event.pcr}, {event.type_name})", actual
    )
