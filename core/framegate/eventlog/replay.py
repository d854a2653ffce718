"""Replay a boot log: the PCR values that its digests lead to."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from types import MappingProxyType

from framegate.errors import Malformed, Reason
from framegate.eventlog.parse import NEVER_EXTENDED, NO_ACTION, PCR_COUNT, BootLog
from framegate.tpm.constants import DIGEST_SIZE, HASH_NAME, Alg


def replay(log: BootLog, bank: Alg) -> Mapping[int, bytes]:
    """PCR index to value in `bank` for every PCR that `log` extends.

    PCR 0 starts at the startup locality, or at 4 after an H-CRTM sequence without one (PFP 3.3.2
    and 10.4.5.3). Event types decide only whether an event is extended; a lie there makes the
    values differ from the quote. Raises Malformed where the log lacks the bank, wholly or in one
    event.
    """
    if bank not in log.banks or bank not in HASH_NAME:
        have = ", ".join(a.name.lower() for a in log.banks)
        raise Malformed.of(
            Reason.BOOT_LOG_MALFORMED, f"a log with the {bank.name.lower()} bank", f"banks {have}"
        )
    name, size, column = HASH_NAME[bank], DIGEST_SIZE[bank], log.column(bank)
    new, values = getattr(hashlib, name), dict.fromkeys(range(PCR_COUNT), bytes(size))
    values[0] = bytes(size - 1) + bytes(
        [log.startup_locality if log.startup_locality is not None else 4 if log.hcrtm else 0]
    )
    touched = set()
    for event in log.events:
        pcr = event.pcr
        if event.type != NO_ACTION and pcr != NEVER_EXTENDED:
            digest = event.digests[column]
            if not digest:
                raise Malformed.of(
                    Reason.BOOT_LOG_MALFORMED,
                    f"a {name} digest in every measured event",
                    f"none in event {event.number} at offset {event.offset}",
                )
            values[pcr] = new(values[pcr] + digest).digest()
            touched.add(pcr)
    return MappingProxyType({pcr: values[pcr] for pcr in sorted(touched)})
