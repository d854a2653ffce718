"""`[[extend]]`: what a profile may say of words that user space extends."""

import pytest

from framegate.errors import Malformed, Reason
from framegate.eventlog.quirks import EXTENDED
from framegate.profile.extends import (
    MAX_EXTENDS,
    MAX_STATES,
    MAX_WORD_BYTES,
    in_sentences,
    parse_extends,
)
from support.refusals import refused

GOOD = {"name": "NvPCRs", "pcrs": [9], "words": ["a", "b"]}
QUIRK = frozenset({EXTENDED})


def parsed(*tables, quirks=QUIRK):
    return parse_extends({"extend": list(tables)}, quirks)


def test_behaviours_are_read_in_order_and_told_in_words():
    both = parsed(GOOD, {**GOOD, "name": "boot", "pcrs": list(range(8)), "words": ["c"]})
    assert [(e.name, e.pcrs, e.words) for e in both] == [
        ("NvPCRs", (9,), ("a", "b")),
        ("boot", tuple(range(8)), ("c",)),
    ]
    assert in_sentences(both)[0] == "After boot, PCR 9 may go on with a, b (NvPCRs)."
    assert parse_extends({}, frozenset()) == ()


@pytest.mark.parametrize(
    "changes",
    [
        {"name": ""},
        {"name": 7},
        {"pcrs": []},
        {"pcrs": 9},
        {"pcrs": [9, 9]},
        {"pcrs": [12, 9]},
        {"pcrs": [True]},
        {"pcrs": [-1]},
        {"pcrs": [16]},
        {"pcrs": [10]},
        {"pcrs": [0, 1]},
        {"words": []},
        {"words": "ab"},
        {"words": [""]},
        {"words": [7]},
        {"words": ["a\n"]},
        {"words": ["x" * (MAX_WORD_BYTES + 1)]},
        {"more": 1},
    ],
)
def test_a_behaviour_that_is_none_is_refused(changes):
    assert refused(lambda: parsed({**GOOD, **changes}), Malformed) == Reason.PROFILE_INVALID


def test_tables_that_do_not_fit_are_refused():
    long = {**GOOD, "words": ["w"] * MAX_STATES}
    for call in (
        lambda: parse_extends({"extend": {}}, QUIRK),
        lambda: parsed(7),
        lambda: parsed(*[GOOD] * (MAX_EXTENDS + 1)),
        lambda: parsed(GOOD, quirks=frozenset()),
        lambda: parsed(),
        lambda: parsed(long),
    ):
        assert refused(call, Malformed) == Reason.PROFILE_INVALID
