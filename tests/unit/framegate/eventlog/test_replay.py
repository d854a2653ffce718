"""What a boot log replays to, as it is and by the quirks that a profile grants."""

import hashlib
from dataclasses import replace

import pytest

from framegate.errors import Malformed, Reason
from framegate.eventlog import parse_boot_log, replay
from framegate.eventlog.event_type import EventType
from framegate.eventlog.quirks import (
    EXIT_BOOT_SERVICES,
    MAX_CANDIDATES,
    PHASES,
    PINNED,
    UNLOGGED_EXIT,
    Grants,
    candidates,
)
from framegate.eventlog.user_space import PHASE_WORDS
from framegate.tpm.constants import Alg
from framegate_simulators.machine.boot import Firmware, boot_log, measurements

LOG = parse_boot_log(boot_log(measurements(Firmware("m"))))
VALUES = dict(replay(LOG, Alg.SHA256))


def extended(value: bytes, *texts: bytes) -> bytes:
    for text in texts:
        value = hashlib.sha256(value + hashlib.sha256(text).digest()).digest()
    return value


def test_a_bank_that_the_log_does_not_have():
    for log in (replace(LOG, banks=(Alg.SHA1,)), replace(LOG, banks=())):
        with pytest.raises(Malformed) as caught:
            replay(log, Alg.SHA256)
        assert caught.value.reason == Reason.BOOT_LOG_MALFORMED


def test_an_event_without_a_digest_in_the_bank():
    events = (*LOG.events[:-1], LOG.events[-1]._replace(digests=(b"",) * len(LOG.banks)))
    with pytest.raises(Malformed) as caught:
        replay(replace(LOG, events=events), Alg.SHA256)
    assert "digest" in str(caught.value)


def test_without_a_quirk_there_is_the_log_alone():
    (only,) = candidates(LOG, VALUES, Alg.SHA256, Grants())
    assert only.values == VALUES and only.log is LOG and only.quirks == ()


def test_an_exit_that_the_firmware_did_not_log():
    silent = replace(LOG, events=tuple(e for e in LOG.events if e.type != EventType.EFI_ACTION))
    values = dict(replay(silent, Alg.SHA256))
    plain, exited = candidates(silent, values, Alg.SHA256, Grants({UNLOGGED_EXIT}))
    assert plain.values == values and plain.quirks == ()
    assert exited.values[5] == extended(values[5], *EXIT_BOOT_SERVICES)
    assert exited.quirks == (UNLOGGED_EXIT,) and len(exited.log.events) > len(silent.events)
    logged = list(candidates(LOG, VALUES, Alg.SHA256, Grants({UNLOGGED_EXIT})))
    assert len(logged) == 1, "a log with its exit needs none"


def test_phases_after_boot_count_up_to_where_the_machine_is():
    states = list(candidates(LOG, VALUES, Alg.SHA256, Grants({PHASES})))
    assert len(states) == len(PHASE_WORDS) + 1 and states[0].quirks == ()
    phases = [w.encode() for w in PHASE_WORDS]
    for reached, candidate in enumerate(states):
        start = VALUES.get(11, bytes(32))
        assert candidate.values[11] == extended(start, *phases[:reached])


def test_whole_values_are_pinned_and_there_are_not_many_candidates():
    pinned = {1: frozenset({b"\1" * 32, b"\2" * 32})}
    states = list(candidates(LOG, VALUES, Alg.SHA256, Grants({PINNED}, pinned)))
    assert {c.values[1] for c in states} == pinned[1] and states[0].quirks == (PINNED,)
    many = {p: frozenset(bytes([p, n]) * 16 for n in range(60)) for p in (1, 2, 3)}
    assert len(list(candidates(LOG, VALUES, Alg.SHA256, Grants({PINNED}, many)))) == MAX_CANDIDATES
