"""Fingerprints as a part's signed limits have them."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framegate.errors import FramegateError, Malformed
from framegate.looks.commission import propose
from framegate.looks.fingerprint import BYTES, Fingerprint, parse_fingerprint
from framegate.looks.kinds import KINDS, Look
from framegate.looks.limits import MAX_FINGERPRINTS, loosened, parse_limits, suspicions
from support.looks import CAMERA, row, sound_rows

LOOK = Look.CAMERA_FINGERPRINT
ONE, OTHER = Fingerprint(bytes(range(256)) * 8), Fingerprint(bytes(BYTES))


def rows_of(values):
    return [
        one if value is None else one | {LOOK: value}
        for one, value in zip(sound_rows(), values, strict=True)
    ]


def proposed(values, fingerprints=None):
    known = {CAMERA: ONE} if fingerprints is None else fingerprints
    proposal = propose(rows_of(values), fingerprints=known)
    (said,) = [w for w in proposal.warnings if w.startswith(f"{LOOK}:")] or [""]
    return next((one for one in proposal.limits if one.look == LOOK), None), said


def test_what_is_signed_says_the_same_fingerprint_again():
    limits = parse_limits([row(LOOK, fingerprints={CAMERA: ONE.text, "b": OTHER.text})])
    assert limits[0].fingerprint(CAMERA) == ONE and limits[0].fingerprint("c") is None
    assert parse_limits([limits[0].row()]) == limits


@given(st.text() | st.binary() | st.integers() | st.none() | st.lists(st.integers()))
def test_what_is_no_fingerprint_is_refused_by_name(text):
    with pytest.raises(Malformed):
        parse_fingerprint(text)


@pytest.mark.parametrize(
    "text",
    [
        ONE.text[:-4],
        ONE.text + "AAAA",
        ONE.text.replace("A", "\n", 1),
        ONE.text[:-2] + "9=",  # bits beside the last byte: a second way to say the same
        base64.urlsafe_b64encode(b"\xff" * BYTES).decode(),
    ],
)
def test_a_fingerprint_is_said_in_one_way(text):
    assert parse_fingerprint(ONE.text) == ONE
    with pytest.raises(Malformed):
        parse_fingerprint(text)


@pytest.mark.parametrize(
    "changes",
    [
        {"fingerprints": {}},
        {"fingerprints": None},
        {"fingerprints": [ONE.text]},
        {"fingerprints": {"": ONE.text}},
        {"fingerprints": {"cam\n1": ONE.text}},
        {"fingerprints": {"c" * 200: ONE.text}},
        {"fingerprints": {CAMERA: "short"}},
        {"fingerprints": {f"cam{n}": ONE.text for n in range(MAX_FINGERPRINTS + 1)}},
        {"limit": 29.0},
        {"limit": 2e4},
    ],
)
def test_a_limit_without_a_sound_fingerprint_is_not_signed(changes):
    with pytest.raises(FramegateError):
        parse_limits([row(LOOK, **changes)])


def test_no_other_look_has_fingerprints_and_this_one_has_some():
    with pytest.raises(Malformed):
        parse_limits([row(Look.RESIDUAL, fingerprints={CAMERA: ONE.text})])
    bare = row(LOOK)
    del bare["fingerprints"]
    with pytest.raises(Malformed):
        parse_limits([bare])


def test_half_of_the_least_that_own_frames_measured_is_the_limit():
    limit, said = proposed([None] * 128 + [5000.0] * 60 + [4000.0] * 52)
    assert limit.limit == 2000 and dict(limit.fingerprints) == {CAMERA: ONE} and not said
    assert not suspicions([limit], {LOOK: 2100.0})
    assert suspicions([limit], {LOOK: 1.0})


@pytest.mark.parametrize(
    ("values", "fingerprints", "why"),
    [
        ([None] * 240, None, "measured in 0 frames"),
        ([None] * 200 + [900.0] * 40, None, "measured in 40 frames"),
        ([None] * 128 + [900.0] * 112, {}, "no limit"),
        ([None] * 128 + [900.0] * 112, {f"c{n}": ONE for n in range(9)}, "no limit"),
        ([None] * 128 + [1.5] * 112, None, "no sensor's pattern left"),
        ([None] * 128 + [0.0] * 112, None, "no sensor's pattern left"),
        ([None] * 128 + [900.0] * 90 + [200.0] * 22, None, "by one sensor?"),
        ([None] * 128 + [900.0] * 112, None, "guards poorly"),
    ],
)
def test_where_a_sensor_cannot_be_told_it_is_said(values, fingerprints, why):
    limit, said = proposed(values, fingerprints)
    assert why in said and (limit is None) == ("guards poorly" not in why)


def test_whoever_approves_reads_that_a_fingerprint_goes_or_is_another():
    before, same, other, none = (
        parse_limits([row(LOOK, fingerprints=one)])
        for one in (
            {CAMERA: ONE.text},
            {CAMERA: ONE.text, "new": ONE.text},
            {CAMERA: OTHER.text},
            {"new": ONE.text},
        )
    )
    assert not loosened(before, same)
    assert loosened(before, other) == (f"{LOOK} of {CAMERA}: another",)
    assert loosened(before, none) == (f"{LOOK} of {CAMERA}: none",)
    assert loosened(before, ()) == (f"{LOOK} goes",)
    assert KINDS[LOOK].extreme == 30
