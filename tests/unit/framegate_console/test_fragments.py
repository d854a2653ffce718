"""Pieces of pages that are made once for everybody: by all that they show."""

from dataclasses import fields, replace

import pytest

from framegate.signed.statement import Verdict
from framegate_console.pages.line import CameraCard, PartTile
from framegate_console.rendering import Fragments, rendered
from framegate_console.wording import words_in
from framegate_operator.traffic import CameraFacts
from framegate_proto.v1 import framegate_pb2 as pb
from support.hostile_fleet import HOSTILE, filled

EN, DE = words_in("en"), words_in("de")
DEVICE = filled(pb.DeviceSummary())


def facts(**more) -> CameraFacts:
    seen = CameraFacts(
        device=DEVICE.device,
        gateway="gateway.line-1.gw1",
        streams=1,
        frames_per_s=2.5,
        last_frame_s=0.1,
        begun_s=9.0,
        ended_s=None,
        in_peace=False,
        outcomes={"PASS": 7},
    )
    return replace(seen, **more)


def html(card) -> str:
    return rendered("camera_card.html", EN, {"it": card})


def changed(described):
    """The device with another value in one member."""
    other = pb.DeviceSummary()
    other.CopyFrom(DEVICE)
    value = getattr(other, described.name)
    if described.is_repeated:
        value.append("more")
    else:
        setattr(other, described.name, value + ("x" if isinstance(value, str) else 1))
    return other


@pytest.mark.parametrize("name", [f.name for f in pb.DeviceSummary.DESCRIPTOR.fields])
def test_whatever_of_a_machine_a_card_shows_is_in_its_key(name):
    card = CameraCard(DEVICE, facts(), "", True)
    other = replace(card, device=changed(pb.DeviceSummary.DESCRIPTOR.fields_by_name[name]))
    assert html(card) == html(other) or card.key != other.key


@pytest.mark.parametrize(
    "more",
    [
        {"known": False},
        {"silence": "no frame for 9 s"},
        {"traffic": None},
        {"traffic": facts(frames_per_s=9.0)},
        {"traffic": facts(outcomes={"PASS": 8})},
    ],
    ids=str,
)
def test_and_whatever_of_its_traffic(more):
    card = CameraCard(DEVICE, facts(), "", True)
    other = replace(card, **more)
    assert html(card) != html(other) and card.key != other.key


def test_each_language_has_its_own_and_what_is_asked_for_again_is_not_made_again():
    made, card = Fragments(8), CameraCard(DEVICE, facts(), "", True)
    texts = [made.of(card.key, "camera_card.html", w, {"it": card}) for w in (EN, DE, EN, DE)]
    assert texts[0] == texts[2] != texts[1] == texts[3] and made.rendered == 2
    assert "<img" not in texts[0] and HOSTILE not in texts[0]


def test_what_is_long_unasked_for_is_forgotten():
    made = Fragments(2)
    cards = [CameraCard(DEVICE, facts(frames_per_s=float(n)), "", True) for n in range(3)]
    for card in (*cards, cards[2], cards[0]):
        made.of(card.key, "camera_card.html", EN, {"it": card})
    assert made.rendered == 4


def test_a_tile_is_its_verdict():
    empty = dict.fromkeys((f.name for f in fields(Verdict)), "")
    told = {"outcome": "DEFECT", "issued_at_ms": 5, "defects": ({"kind": "open"},)}
    verdict = Verdict(**{**empty, **told})
    tile = PartTile(verdict)
    for name, value in (("part", "p"), ("outcome", "PASS"), ("defects", ({"kind": "short"},))):
        assert PartTile(replace(verdict, **{name: value})).key != tile.key
