"""What is usual of a surface says the same as data and as a graph, and keeps its promises."""

from dataclasses import replace

import numpy as np
import onnxruntime as ort
import pytest

from framegate_gateway.inference.recipe import PictureInput
from framegate_models.backbone import DEVIATION, MEAN, GraphParts
from framegate_models.descriptions import LEAST_ALIKE, Describer, alike, sent_of, variant_of
from framegate_models.nearest import LEAST_NEAR, joined, most_unlike, seen_places
from framegate_models.network_input import input_of
from framegate_models.quantise import in_eight_bits
from framegate_models.sound_pictures import Sound
from framegate_models.strangeness import SCALES, Way, strange_by, units_of
from framegate_models.surface import Given, Surface, usual_places
from framegate_models.surface_graph import (
    CONTRAST,
    INPUT,
    NUMBERS,
    OUTPUTS,
    _even,
    _value,
    judging_graph,
    surface_graph,
)
from framegate_simulators.fixtures.spot_networks import spot_network, spot_picture

pytestmark = pytest.mark.slow

SIDES = 192, 256
GIVEN = PictureInput(INPUT, 64, 64)


def described(rng, count):
    """Descriptions of `count` pictures of one part, each with a little of its own."""
    shapes = [(scale.channels, *scale.grid(SIDES)) for scale in SCALES]
    middles = [rng.normal(0, 1, shape) for shape in shapes]
    return tuple(
        np.stack([m + rng.normal(0, 0.3, m.shape) for _ in range(count)]).astype(np.float16)
        for m in middles
    )


@pytest.fixture(scope="module")
def learned():
    rng = np.random.default_rng(3)
    looks = described(rng, 14)
    seen = seen_places(looks, np.arange(14), rng)
    return looks, Surface(Given(SIDES), SCALES, (usual_places(looks[0], rng),), seen)


def asked(surface, looks, number):
    session = ort.InferenceSession(judging_graph(surface), providers=["CPUExecutionProvider"])
    feeds = {
        f"scale{i}": one[number : number + 1].astype(np.float32) for i, one in enumerate(looks)
    }
    return session.run([NUMBERS], feeds)[0][0].tolist()


def strange(surface, looks, number):
    """By numpy: how strange each place of the coarser grid is."""
    seen = surface.beside
    one = joined(tuple(look[number : number + 1] for look in looks))[0]
    space = (one.reshape(one.shape[0], -1).T - seen.mean) @ seen.directions
    off = np.linalg.norm(space[:, None] - seen.pictures, axis=2).min(axis=1)
    far = np.log(np.maximum(off, LEAST_NEAR)).reshape(seen.usual.shape)
    return (far - seen.usual) / seen.spread


def test_the_graph_says_what_the_data_say(learned):
    looks, surface = learned
    other = tuple(
        look + np.float16(0.2) * (np.arange(14) == 5)[:, None, None, None] for look in looks
    )
    values = strange(surface, other, 5)
    _, together, strangest = asked(surface, other, 5)
    assert strangest == pytest.approx(values.max(), rel=1e-2)
    assert together == pytest.approx(np.log(np.exp(values).mean()), rel=1e-2)


def test_one_strange_place_counts_for_the_picture(learned):
    _, surface = learned
    fresh = described(np.random.default_rng(3), 15)
    usual = asked(surface, fresh, 14)
    fresh[0][14, :, 4:6, 6:8] += 2
    fresh[1][14, :, 2, 3] += 2
    assert all(b > a + 3 for a, b in zip(usual[1:], asked(surface, fresh, 14)[1:], strict=True))


@pytest.mark.parametrize("strange_", [0, 3], ids=["usual", "strange"])
def test_the_whole_graph_says_what_the_units_say(learned, strange_):
    looks, surface = learned
    way = Way(False, True)
    numbers = np.array([asked(surface, looks, number) for number in range(14)])
    units = units_of(way, [numbers], 0.2)
    shown = [look[3:4].astype(np.float32) for look in looks]
    shown[0][0, :, 4:6, 6:8] += strange_
    shown[1][0, :, 2, 3] += strange_
    parts = GraphParts()
    for value, name in zip(shown, OUTPUTS, strict=True):
        parts.node("Identity", [parts.weight(value)], name)
    beneath = parts.model(_value(INPUT, 1, 3, *SIDES), [_value("scale0", *shown[0].shape)], "b")
    graph = surface_graph(beneath, replace(surface, units=units))
    session = ort.InferenceSession(graph, providers=["CPUExecutionProvider"])
    score, heat = session.run(None, {INPUT: np.zeros((1, 3, *SIDES), np.float32)})
    said = strange_by(way, np.array([asked(surface, shown, 0)]), units)
    told = 1 / (1 + np.exp(-np.clip(said.score[0], -60, 60)))
    assert score[0, 0] == pytest.approx(told, abs=1e-3)
    assert heat.shape == (1, 1, SIDES[0] // 4, SIDES[1] // 4)
    assert (max(score.max(), heat.max()) > 0.5) == (said.most[0] > 0) == bool(strange_)


def test_eight_bits_say_the_same_as_floating_point():
    network = spot_network("heat")
    rng = np.random.default_rng(1)
    feeds = [
        {"images": (spot_picture(rng, 2) / 255).astype(np.float32).transpose(2, 0, 1)[None]}
        for _ in range(6)
    ]
    eighth = in_eight_bits(network, feeds, ("Conv",))
    assert b"QuantizeLinear" in eighth and b"QuantizeLinear" not in network
    one, other = (
        ort.InferenceSession(model, providers=["CPUExecutionProvider"]).run(None, feeds[0])[0]
        for model in (network, eighth)
    )
    assert not np.array_equal(one, other) and np.abs(one - other).max() < 0.05


def described_by(*sides):
    """A network that describes a picture of 64 x 64 by means over places of these sides."""
    parts, values = GraphParts(), []
    for name, side in zip(OUTPUTS, sides, strict=True):
        pooled = {"kernel_shape": [side, side], "strides": [side, side]}
        parts.node("AveragePool", [INPUT], name, **pooled)
        values.append(_value(name, 1, 3, 64 // side, 64 // side))
    return Describer(parts.model(_value(INPUT, 1, 3, 64, 64), values, "means"), GIVEN, 1)


def test_eight_bits_are_held_against_floating_point_at_every_scale():
    shown = np.random.default_rng(1).integers(0, 255, (2, 64, 64, 3), np.uint8)
    one = described_by(4, 16)
    assert alike(one, described_by(4, 16), shown) == pytest.approx(1)
    turned = Describer(one.model, replace(GIVEN, colour="bgr"), 1)
    assert alike(one, turned, shown) < LEAST_ALIKE


def test_a_picture_is_sent_where_it_is_and_a_variant_is_not():
    picture = spot_picture(np.random.default_rng(1), 2, side_px=128)
    for seed in range(4):
        sent, variant = (
            float(np.corrcoef(picture.ravel(), made.ravel())[0, 1])
            for made in (
                make(picture, np.random.default_rng(seed)) for make in (sent_of, variant_of)
            )
        )
        assert variant + 0.02 < sent and sent > 0.98


def test_what_was_seen_is_as_near_as_distances_are_told(learned):
    looks, surface = learned
    assert np.allclose(
        strange(surface, looks, 3),
        (np.log(LEAST_NEAR) - surface.beside.usual) / surface.beside.spread,
    )


def test_pictures_of_one_part_do_not_make_it_usual():
    rng = np.random.default_rng(5)
    looks = described(rng, 8)
    twice = tuple(np.concatenate([one, one]) for one in looks)
    alone = seen_places(twice, np.arange(16), np.random.default_rng(1))
    by_part = seen_places(twice, np.tile(np.arange(8), 2), np.random.default_rng(1))
    # a copy is its twin's nearest: only parts that are known for one say how far sound ones are
    assert alone.usual.max() == pytest.approx(np.log(LEAST_NEAR))
    assert by_part.usual.min() > np.log(LEAST_NEAR) + 1


def test_what_is_rare_is_kept():
    rows = np.random.default_rng(2).normal(0, 1, (300, 4)).astype(np.float32)
    rows[[17, 203]] += 40
    rows[203] *= -1
    kept = most_unlike(rows, 10)
    assert len(set(kept.tolist())) == 10 and {17, 203} <= set(kept.tolist())
    assert (np.sort(kept) == kept).all()
    assert most_unlike(rows[:7], 10).tolist() == list(range(7))


def evened(given, picture):
    parts = GraphParts()
    name = _even(parts, given)
    shape = 3, *given.sides
    model = parts.model(_value(INPUT, 1, *shape), [_value(name, 1, *shape)], "even")
    session = ort.InferenceSession(model, providers=["CPUExecutionProvider"])
    return session.run(None, {INPUT: picture})[0]


@pytest.mark.parametrize("beside", [None, (114 - MEAN) / DEVIATION], ids=["stretched", "beside"])
def test_light_and_contrast_make_no_difference(beside):
    given = Given((64, 96), beside, evened=True)
    picture = np.random.default_rng(1).normal(0.1, 0.2, (1, 3, 64, 96)).astype(np.float32)
    inside = np.zeros(picture.shape, bool)
    inside[:, :, 8:56, :70] = True
    if beside is None:
        inside[:] = True
    shown, darker = (
        np.where(inside, light, np.float32(beside or 0)) for light in (picture, picture * 0.5 - 0.2)
    )
    one, other = evened(given, shown), evened(given, darker)
    assert np.allclose(one, other, atol=1e-3)
    assert one[inside].mean() == pytest.approx(0, abs=1e-3)
    assert one[inside].std() == pytest.approx(CONTRAST, rel=1e-3)
    assert not one[~inside].any()


@pytest.mark.parametrize("grey", [114, 30], ids=["as-beside", "another"])
def test_an_empty_picture_is_made_no_surface_of(grey):
    beside = (114 - MEAN) / DEVIATION
    empty = np.full((1, 3, 64, 64), (grey - MEAN) / DEVIATION, np.float32)
    said = evened(Given((64, 64), beside), empty)
    assert np.isfinite(said).all() and np.abs(said).max() < 1e-3


def test_grey_as_beside_the_picture_is_not_cut_out_of_it():
    beside = (114 - MEAN) / DEVIATION
    picture = np.random.default_rng(1).normal(0.5, 0.2, (1, 3, 64, 64)).astype(np.float32)
    picture[:, :, 20:30, 20:30] = beside
    assert evened(Given((64, 64), beside), picture)[0, 0, 24, 24] < -0.5


def pictures(sizes):
    return [
        Sound(f"{i}", f"{i}", "", np.zeros((h, w, 3), np.uint8)) for i, (w, h) in enumerate(sizes)
    ]


def test_pictures_of_differing_proportions_keep_them():
    alike = input_of(pictures([(640, 480)] * 18 + [(644, 480)] * 2), None, evened=True)
    assert alike.fit == "stretch" and (alike.width, alike.height) == (448, 320)
    shapes = pictures([(120, 380), (270, 360), (600, 250), (260, 340)] * 5)
    cut = input_of(shapes, None, evened=True)
    assert cut.fit == "letterbox" and cut.width > cut.height
    assert input_of(shapes, None, evened=False).fit == "stretch"
    asked_for = input_of(shapes, (256, 192), evened=True)
    assert asked_for.fit == "letterbox" and (asked_for.width, asked_for.height) == (256, 192)


@pytest.mark.parametrize("nearest", [False, True], ids=["middle", "nearest"])
@pytest.mark.parametrize("count", [40, 400, 4000])
def test_score_and_places_share_the_false_alarms(count, nearest):
    rng, way = np.random.default_rng(count), Way(True, nearest)
    columns = 3 if nearest else 2
    spread, middle = np.array([0.5, 2, 1][:columns]), np.array([1, 7, -3][:columns])
    above = []
    for _ in range(60):
        seen, fresh = (rng.normal(0, 1, (n, columns)) * spread + middle for n in (count, 4000))
        units = units_of(way, [seen], 0.05)
        above.append((strange_by(way, fresh, units).most > 0).mean())
    assert 0.025 < np.mean(above) < 0.06


@pytest.mark.parametrize("nearest", [False, True], ids=["middle", "nearest"])
def test_what_is_promised_is_promised_of_each_way_to_show_a_picture(nearest):
    """Files have grain that JPEG takes away: by frames as sent alone, one in thirteen was bad."""
    rng, way = np.random.default_rng(7), Way(True, nearest)
    columns = 3 if nearest else 2
    above = {0.0: [], 1.0: []}
    for _ in range(40):
        units = units_of(way, [rng.normal(more, 1, (60, columns)) for more in above], 0.05)
        for more, rates in above.items():
            fresh = rng.normal(more, 1, (2000, columns))
            rates.append((strange_by(way, fresh, units).most > 0).mean())
    assert 0.025 < np.mean(above[1.0]) < 0.07
    assert np.mean(above[0.0]) < 0.01
