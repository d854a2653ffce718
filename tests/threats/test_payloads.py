"""N200 to N202: payloads that are no pictures, and whoever passes one thing off as another."""

import base64
import io
import json
import re
import time
from dataclasses import replace
from typing import ClassVar

import cv2
import numpy as np
import pytest

from framegate.errors import FramegateError, Malformed, Reason, Refused
from framegate.payload.contract import FIRST_OWN, MAGIC
from framegate.payload.kinds import BUILT_IN, Kinds, regions_of
from framegate.payload.series.form import ENCODING_SERIES, marshal_series, parse_series
from framegate.signed.mask import MaskRegions, Masks, check_masks
from framegate.signed.statement import Verdict
from framegate.wire import FrameMetadata
from framegate_agent.camera.capture import mask_line
from framegate_agent.camera.masking import Masker
from framegate_agent.camera.sealing import Sealer
from framegate_agent.camera.session import of_its_kind
from framegate_agent.camera.sources import relay
from framegate_gateway.inference.bundle import DEFAULT_BUNDLE, load_bundle
from framegate_simulators.vibration.sensor import Sensor, golden, window, write_window
from support.frames import opened, replace_head
from support.paths import ROOT
from support.payload_record.form import marshal_record
from support.payload_record.kind import KIND
from support.payloads import Windows, motor_bundle, motor_part, running
from support.receipts import head_of, payload_receipt, proved, series_receipt

NOW_MS = time.time_ns() // 1_000_000
SERIES_SIDES = {"encoding": ENCODING_SERIES, "width": 4096, "height": 3}
POLYGON = ((0.0, 0.0), (0.2, 0.0), (0.2, 0.2))


def reason_of(call) -> Reason:
    with pytest.raises(FramegateError) as caught:
        call()
    return caught.value.reason


# N200: what is no window, and what was measured before


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda d: b"", id="nothing"),
        pytest.param(lambda d: d[:20], id="half-a-head"),
        pytest.param(lambda d: d[:-1], id="one-byte-short"),
        pytest.param(lambda d: d + b"\0", id="one-byte-more"),
        pytest.param(lambda d: b"\x89PNG\r\n\x1a\n" + d[8:], id="a-picture"),
        pytest.param(lambda d: d[:4] + b"\x80" + d[5:], id="another-kind"),
        pytest.param(lambda d: d[:5] + b"\2" + d[6:], id="another-version"),
        pytest.param(lambda d: d[:6] + b"\3" + d[7:], id="no-such-samples"),
        pytest.param(lambda d: d[:7] + b"\xff" + d[8:], id="channels-that-are-not-there"),
        pytest.param(lambda d: d[:12] + b"\xff\xff\xff\xff" + d[16:], id="samples-by-the-billion"),
        pytest.param(lambda d: d[:8] + bytes(4) + d[12:], id="no-rate"),
        pytest.param(lambda d: d[:36] + b"\x1b[2J" + d[40:], id="a-name-of-control-bytes"),
        pytest.param(lambda d: d[:72] + d[36:60] + d[96:], id="one-name-twice"),
    ],
)
def test_n200_what_is_no_window_is_no_series(spoil):
    data = golden(1)
    assert parse_series(data).names == ("vibration-x", "vibration-y", "current")
    assert reason_of(lambda: parse_series(spoil(data))) == Reason.PAYLOAD


def test_n200_numbers_that_are_none_are_no_samples():
    series = window(Sensor(1), 1, 10**9)
    floats = np.zeros(series.count, "<f4")
    channel = replace(series.channels[0], scale=1.0, samples=floats.tobytes())
    whole = replace(series, sample_type=2, channels=(channel,))
    assert parse_series(marshal_series(whole)) == whole
    for number in (np.nan, np.inf):
        floats[7] = number
        bad = replace(whole, channels=(replace(channel, samples=floats.tobytes()),))
        assert reason_of(lambda b=bad: marshal_series(b)) == Reason.PAYLOAD


@pytest.mark.parametrize(("ago_ms", "known"), [(120_000, False), (-120_000, False), (5_000, True)])
def test_n200_a_window_of_before_is_not_admitted(door, ago_ms, known):
    link, session = door.opened()
    at_ms = time.time_ns() // 1_000_000 - ago_ms
    head = replace_head(captured_at_ms=at_ms, uncertainty_ms=2**31, **SERIES_SIDES)
    frame = opened(link, session.seal(head, golden(1)))
    if known:
        assert link.admit(frame).image == golden(1)
    else:
        assert reason_of(lambda: link.admit(frame)) == Reason.PAYLOAD_STALE


def test_n200_the_bytes_of_a_window_count_under_one_trigger(door):
    link, session = door.opened()
    head = replace_head(captured_at_ms=time.time_ns() // 1_000_000, **SERIES_SIDES)
    link.admit(opened(link, session.seal(head, golden(1))))
    again = session.seal(replace(head, trigger_sequence=2), golden(1))
    assert reason_of(lambda: link.admit(opened(link, again))) == Reason.FRAME_FROZEN


@pytest.mark.slow
async def test_n200_a_replayed_window_is_uninspected_and_one_sent_again_is_not():
    async with running(motor_bundle(), motor_part()) as engine:
        windows = Windows(engine)
        first = windows.next()
        assert (await windows.inspected(first)).defects == ()
        assert (await windows.inspected(first)).defects == (), "its answer was lost on the way"
        with pytest.raises(Refused) as caught:  # the same samples, sealed under another trigger
            await windows.inspected(first, trigger_sequence=99)
        assert caught.value.reason == Reason.PAYLOAD_REPLAYED
        second = windows.next()
        overlapping = replace(second, first_us=first.last_us - 1000, last_us=second.last_us)
        with pytest.raises(Refused):  # it would have to last longer than its samples
            await windows.inspected(overlapping)
        with pytest.raises(Refused) as caught:  # dated now, measured before
            await windows.inspected(first, captured_at_ms=first.last_us // 1000 + 60_000)
        assert caught.value.reason == Reason.PAYLOAD_REPLAYED
        assert (await windows.inspected(second)).defects == ()
        with pytest.raises(Refused) as caught:
            await windows.said(marshal_series(windows.next())[:-2])
        assert caught.value.reason == Reason.PAYLOAD


# N201: a mask that leaves too little


@pytest.mark.slow
async def test_n201_a_channel_mask_that_leaves_too_little_is_uninspected():
    async with running(motor_bundle(), motor_part()) as engine:
        windows = Windows(engine)
        one, two = ("current",), ("current", "vibration-y")

        def masked(names):
            data = marshal_series(windows.next("outer-race"))
            return _sealed(data, names)

        said = await windows.said(masked(one), one)
        assert said.inspected_percent == 66
        assert {d["kind"] for d in said.defects} == {"outer-race"}
        with pytest.raises(Refused) as caught:
            await windows.said(masked(two), two)
        assert caught.value.reason == Reason.INSPECTED_SHARE
        with pytest.raises(Refused) as caught:  # said to be masked, and sent
            await windows.said(masked(()), one)
        assert caught.value.reason == Reason.MASK


def _sealed(data, channels):
    """`data` as an agent seals it under a mask of these channels."""
    masker = Masker()
    masker.take(mask_line(1, b"m" * 32, (), channels))
    out, given = io.BytesIO(), io.BytesIO()
    write_window(given, Sensor(1), 1, data, NOW_MS)
    given.seek(0)
    relay(given, out, Sealer(masker, BUILT_IN))
    return out.getvalue()[-len(data) :]


def test_n201_what_is_masked_never_leaves_the_sensor():
    data = marshal_series(window(Sensor(1), 1, 10**9))
    less = parse_series(_sealed(data, ("current", "not-there")))
    kept = {c.name for c in less.channels if c.samples.strip(b"\0")}
    assert kept == {"vibration-x", "vibration-y"} and less.names == parse_series(data).names


@pytest.mark.parametrize(
    "regions",
    [
        [{"channel": "x", "points": []}],
        [{"channel": "x"}, {"channel": "x"}],
        [{"channel": 1}],
        [{"channel": "x\n"}],
        [{"channel": ""}],
    ],
    ids=["both", "twice", "number", "newline", "empty"],
)
def test_n201_channels_are_named_once_each_in_plain_letters(regions):
    assert reason_of(lambda: check_masks(regions)) == Reason.MASK
    good = check_masks([{"channel": "x"}, {"points": [list(p) for p in POLYGON]}])
    assert good == MaskRegions((POLYGON,), ("x",))


# N202: one kind passed off as another


def test_n202_a_picture_that_masks_cover_does_not_leave_as_a_series(capsys):
    masks = Masks(1, b"m" * 32, (POLYGON,))
    series = BUILT_IN.of(ENCODING_SERIES)
    assert reason_of(lambda: regions_of(series, masks.regions)) == Reason.MASK
    masker, out = Masker(), io.BytesIO()
    masker.take(mask_line(1, b"m" * 32, (POLYGON,)))
    given = io.BytesIO()
    picture = cv2.imencode(".png", np.full((64, 64), 200, np.uint8))[1].tobytes()
    write_window(given, Sensor(1), 1, picture, NOW_MS)
    write_window(given, Sensor(1), 2, golden(1), NOW_MS)
    given.seek(0)
    relay(given, out, Sealer(masker, BUILT_IN))
    assert out.getvalue() == b"", "neither pixels under another name nor pixels in samples"
    assert capsys.readouterr().err.count("is not sealed") == 2


def test_n202_a_kind_that_nobody_knows_is_not_sealed_under_masks_and_not_admitted(door):
    masker = Masker()
    masker.take(mask_line(1, b"m" * 32, (), ("x",)))
    head = replace_head(encoding=200)
    assert reason_of(lambda: Sealer(masker, BUILT_IN).masked(head, b"")) == Reason.PAYLOAD
    link, session = door.opened()
    frame = opened(link, session.seal(head, b"whatever"))
    assert reason_of(lambda: link.admit(frame)) == Reason.PAYLOAD


def test_n202_a_model_takes_its_own_kind_alone():
    pictures, motors = load_bundle(DEFAULT_BUNDLE).recipe, motor_bundle().recipe
    pictures.require_payload(1)
    motors.require_payload(ENCODING_SERIES)
    assert reason_of(lambda: pictures.require_payload(ENCODING_SERIES)) == Reason.PAYLOAD
    for encoding in (1, 2, FIRST_OWN):
        assert reason_of(lambda e=encoding: motors.require_payload(e)) == Reason.PAYLOAD


def test_n202_no_two_kinds_share_a_name_or_an_encoding():
    class Passed(type(KIND)):
        encodings: ClassVar = {ENCODING_SERIES: "record"}

    assert reason_of(lambda: Kinds([Passed()])) == Reason.PAYLOAD
    assert reason_of(lambda: Kinds([KIND, KIND])) == Reason.PAYLOAD
    assert Kinds([KIND]).name_of(FIRST_OWN) == "record"
    assert not MAGIC.startswith((b"\x89PNG", b"\xff\xd8")), "no picture begins like one"


@pytest.mark.parametrize(
    ("encoding", "kind", "outcome", "holds"),
    [
        (1, "", "PASS", True),
        (1, "series", "PASS", False),
        (3, "series", "PASS", True),
        (3, "", "PASS", False),
        (3, "", "UNINSPECTED", True),
    ],
)
def test_n202_a_camera_takes_no_verdict_on_another_kind(encoding, kind, outcome, holds):
    verdict = Verdict(*[""] * 7, outcome, *[""] * 11, payload_kind=kind)
    assert of_its_kind(encoding, verdict) is holds


async def test_n202_a_receipt_says_which_kind_and_its_camera_sealed_that(receipts_desk):
    receipt = await series_receipt(receipts_desk)
    proof = receipts_desk.check(receipt)
    assert proof.claims["fg"]["payload_kind"] == proof.verdict["payload_kind"] == "series"
    assert FrameMetadata.parse(base64.b64decode(receipt["metadata"])).encoding == ENCODING_SERIES
    others = [r for r in receipts_desk.receipts() if r != receipt]
    for picture in others:
        assert "payload_kind" not in receipts_desk.check(picture).claims["fg"]


async def test_a_third_kind_goes_from_source_to_receipt_with_nothing_but_its_folder(receipts_desk):
    desk, kinds = receipts_desk, Kinds([KIND])
    data = marshal_record({"amount": 12.5, "distance": 3.0})
    head = head_of(desk, FIRST_OWN, 2, 1)
    masker = Masker()
    masker.take(mask_line(1, b"m" * 32, (), ("distance",)))
    masked = Sealer(masker, kinds).masked(head, data)
    assert masked.data == marshal_record({"amount": 12.5, "distance": 0})
    with pytest.raises(Refused):  # whoever was not told of the kind does not admit it
        await payload_receipt(desk, head, data)
    desk.link._kinds = desk.models.kinds = kinds
    receipt = await payload_receipt(desk, head, data)
    proof = desk.check(receipt)
    assert proof.claims["fg"]["payload_kind"] == proof.verdict["payload_kind"] == "record"


def test_no_product_file_knows_the_third_kind_and_its_folder_takes_the_contract_alone():
    words = re.compile(rb"payload_record|RecordKind|marshal_record")
    for package in ("core", "agent", "controller", "proto", "simulators"):
        files = list((ROOT / package).rglob("*.py"))
        assert files and not [f for f in files if words.search(f.read_bytes())]
    folder = list((ROOT / "tests/support/payload_record").glob("*.py"))
    taken = {
        line.split()[1]
        for file in folder
        for line in file.read_text().splitlines()
        if line.startswith(("from framegate", "import framegate"))
    }
    assert taken == {"framegate.errors", "framegate.payload.contract"}


@pytest.mark.parametrize("named", ["", "record", "image"])
async def test_n202_a_gateway_that_calls_it_another_kind_is_found_out(
    receipts_desk, monkeypatch, named
):
    """Leaf, verdict and batch agree: the lie is in what the camera signed for alone."""
    maker = type(receipts_desk.maker)
    monkeypatch.setattr(maker, "_payload_kind", lambda *_: named)
    receipt = await series_receipt(receipts_desk)
    assert receipts_desk.refused(receipt) == "payload"


async def test_n202_a_picture_that_is_called_a_series_is_found_out(receipts_desk, monkeypatch):
    monkeypatch.setattr(type(receipts_desk.maker), "_payload_kind", lambda *_: "series")
    receipts_desk.session.owed  # noqa: B018 - the frames of before stay pictures
    await receipts_desk.frame(9)
    newest = (await proved(receipts_desk))[0]
    assert json.loads(base64.b64decode(newest["leaf"]))["fg"]["payload_kind"] == "series"
    assert receipts_desk.refused(newest) == "payload"


def test_n202_a_recipe_of_a_kind_that_nobody_knows_is_refused():
    from framegate_gateway.inference.bundle import parse_bundle

    files = dict(motor_bundle().files)
    recipe = json.loads(files["recipe.json"])
    for payload in ("image", "record", "", 3):
        files["recipe.json"] = json.dumps(recipe | {"payload": payload}).encode()
        with pytest.raises(Malformed):
            parse_bundle(files)
