"""Words that user space extends after the firmware's log has ended."""

import hashlib

import pytest

from framegate.eventlog.user_space import (
    OS_SEPARATOR,
    PHASE_WORDS,
    SYSTEMD_PHASES,
    in_words,
    separated,
)
from framegate.tpm.constants import Alg


def extended(value, *texts, name="sha256"):
    for text in texts:
        value = hashlib.new(name, value + hashlib.new(name, text.encode()).digest()).digest()
    return value


@pytest.mark.parametrize(("bank", "name"), [(Alg.SHA1, "sha1"), (Alg.SHA256, "sha256")])
@pytest.mark.parametrize("count", [0, 1, len(PHASE_WORDS)])
def test_words_are_extended_in_their_order_and_into_their_pcrs_alone(bank, name, count):
    zero = bytes(hashlib.new(name).digest_size)
    before = {0: b"\1" * len(zero)}
    after = SYSTEMD_PHASES.after(before, count, bank)
    assert after == {**before, 11: extended(zero, *PHASE_WORDS[:count], name=name)}
    assert before == {0: b"\1" * len(zero)}


def test_pcrs_with_one_separator_behind_are_told_from_others():
    replayed = {p: bytes([p]) * 32 for p in (0, 4, 9, 11)}
    quoted = {
        0: extended(replayed[0], "os-separator"),
        4: replayed[4],
        9: extended(replayed[9], "os-separator", "os-separator"),
        11: extended(replayed[11], "os-separator"),
        12: extended(bytes(32), "os-separator"),
    }
    assert separated(replayed, quoted, Alg.SHA256) == {0, 12}
    assert separated(replayed, {}, Alg.SHA256) == frozenset()
    assert 11 not in OS_SEPARATOR.pcrs


@pytest.mark.parametrize(
    ("pcrs", "shown"), [((), ""), ((5,), "5"), ((9, 0, 2, 1), "0 to 2, 9"), ((1, 3), "1, 3")]
)
def test_indices_as_people_write_them(pcrs, shown):
    assert in_words(pcrs) == shown
