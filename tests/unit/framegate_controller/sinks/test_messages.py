"""What a sink's process says is believed within the batch that it was given, and no further."""

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framegate.errors import Malformed
from framegate.ocsf.logged import OcsfVersion
from framegate.registry.sink import SinkKind
from framegate_controller.sinks.messages import (
    MAX_RETRY_S,
    MAX_WHY,
    Answer,
    BatchEntry,
    Refusal,
    SinkSetup,
    batch_message,
    parse_batch,
)

GOOD = {"confirmed": 15, "refusals": [], "failed": "", "wholly": False, "retry_s": 0}


def parsed(first=10, size=5, **change):
    return Answer.parse(json.dumps(GOOD | change).encode(), first, size)


def refusal(first, last, count=1):
    return {"first": first, "last": last, "count": count, "why": "w"}


def test_an_answer_survives_its_way():
    answer = Answer(confirmed=13, refusals=(Refusal(11, 12, 2, "no"),), failed="why", retry_s=2.5)
    assert Answer.parse(answer.marshal(), 10, 5) == answer


def test_setup_and_batch_survive_their_way():
    setup = SinkSetup(
        name="siem",
        kind=SinkKind.HEC,
        address="https://x",
        channel="main",
        version=OcsfVersion.V1_9,
        fleet="plant",
        folder="/x",
    )
    assert SinkSetup.parse(setup.marshal()) == setup
    batch = (BatchEntry(b'{"a":"\\u00e4"}'), BatchEntry(b"{}", 2))
    assert parse_batch(batch_message(batch)) == batch


@pytest.mark.parametrize(
    "change",
    [
        {"confirmed": 16},
        {"confirmed": 9},
        {"confirmed": 15.0},
        {"confirmed": True},
        {"confirmed": 12},  # less than all, and nothing failed
        {"failed": 1},
        {"failed": None},
        {"retry_s": "x"},
        {"retry_s": None},
        {"retry_s": float("nan")},
        {"retry_s": 10**400},
        {"retry_s": True},
        {"refusals": None},
        {"refusals": [{}]},
        {"refusals": [refusal(9, 9)]},
        {"refusals": [refusal(15, 15)]},
        {"refusals": [refusal(12, 11)]},
        {"refusals": [refusal(12, 12, 2)]},
        {"refusals": [refusal(12, 12, 0)]},
        {"refusals": [refusal(12, 12), refusal(11, 11)]},
        {"refusals": [refusal(12, 13, 2), refusal(13, 13)]},
        {"refusals": [refusal(10, 14, 5)]},  # a whole batch is no entries' fault
        {"refusals": [refusal(n, n) for n in range(10, 15)]},
        {"confirmed": 12, "failed": "x", "refusals": [refusal(12, 12)]},
    ],
)
def test_an_answer_outside_its_batch_is_malformed(change):
    with pytest.raises(Malformed):
        parsed(**change)


def test_the_nearest_answers_hold():
    assert parsed(confirmed=12, failed="x").confirmed == 12
    assert parsed(confirmed=10, failed="x").confirmed == 10
    assert parsed(refusals=[refusal(10, 14, 4)]).refusals[0].count == 4
    assert parsed(first=0, size=1, confirmed=1, refusals=[refusal(0, 0)]).refusals


def test_words_and_pauses_are_cut_to_size():
    answer = parsed(confirmed=10, failed="a\x1b[31m\n" + "x" * 5000, retry_s=1e12)
    assert len(answer.failed) == MAX_WHY
    assert answer.failed.isprintable()
    assert answer.retry_s == MAX_RETRY_S
    assert parsed(confirmed=10, failed="x", retry_s=-5).retry_s == 0


@given(
    st.binary(max_size=300)
    | st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.floats(),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from([*GOOD, "first", "last", "count", "why"]), inner)
        ),
        max_leaves=12,
    ).map(lambda value: json.dumps(value).encode())
)
def test_whatever_comes_is_an_answer_or_malformed(raw):
    for parse in (lambda r: Answer.parse(r, 0, 3), parse_batch, SinkSetup.parse):
        with contextlib.suppress(Malformed):
            parse(raw)
