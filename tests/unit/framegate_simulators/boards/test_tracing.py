"""Strokes that follow edges, and what their topology makes of them."""

import cv2
import numpy as np
import pytest

from framegate_simulators.boards.boards import CLASSES, draw_board
from framegate_simulators.boards.damage import classify
from framegate_simulators.boards.strokes import Stroke
from framegate_simulators.boards.tracing import necked, trace

pytestmark = pytest.mark.slow


def signed_of(copper):
    inside = cv2.distanceTransform(copper, cv2.DIST_L2, 5)
    outside = cv2.distanceTransform(255 - copper, cv2.DIST_L2, 5)
    return (inside - outside).astype(np.float32)


@pytest.mark.parametrize("depth", [-6.0, 0.0, 6.0])
def test_a_trace_stays_at_its_depth_along_a_round_edge(depth):
    copper = np.zeros((300, 300), np.uint8)
    cv2.circle(copper, (150, 150), 80, 255, -1)
    points = trace(signed_of(copper), np.array([230.0, 150.0]), depth, 120)
    off = np.hypot(*(points - 150).T) - (80 - depth)
    assert len(points) > 50 and np.abs(off[3:]).max() < 2.0
    turned = np.unwrap(np.arctan2(*(points[3:] - 150).T))
    assert abs(turned[-1] - turned[0]) > 1.0, "it goes along, not to and fro"


@pytest.mark.parametrize("at", [(1.0, 1.0), (150.0, 150.0), (299.0, 150.0)])
def test_a_trace_ends_where_nothing_leads_on(at):
    flat = np.zeros((300, 300), np.float32)
    assert trace(flat, np.array(at), 0.0, 100).shape == (0, 2)


def test_a_thin_slot_filled_for_a_stretch_is_a_short_and_a_filled_hole_is_none():
    copper = np.full((200, 200), 255, np.uint8)
    copper[98:101] = 0  # a slot three pixels high
    fill = Stroke(np.ones((9, 40), bool), 80, 95, dark=True)
    assert classify(copper, fill) == "short"
    hole = np.full((200, 200), 255, np.uint8)
    cv2.circle(hole, (100, 100), 6, 0, -1)
    assert classify(hole, Stroke(np.ones((21, 21), bool), 90, 90, dark=True)) == ""
    track = np.asarray(255 - copper, np.uint8)
    assert classify(track, Stroke(np.ones((9, 40), bool), 80, 95, dark=False)) == "open"


def test_an_arc_that_cuts_a_corner_off_opens_it():
    copper = np.zeros((200, 200), np.uint8)
    cv2.rectangle(copper, (50, 50), (150, 150), 255, -1)
    canvas = np.zeros((200, 200), np.uint8)
    cv2.ellipse(canvas, (50, 50), (30, 30), 0, -10, 100, 255, 3)
    assert classify(copper, Stroke(canvas > 0, 0, 0, dark=False)) == "open"


def test_traced_boards_have_every_class_and_a_seed_draws_the_same_one():
    boards = [draw_board(seed, defects=12, clean_capture=True, traced=1.0) for seed in range(6)]
    assert {d.kind for board in boards for d in board.defects} == set(CLASSES)
    again = draw_board(3, defects=12, clean_capture=True, traced=1.0)
    assert (again.frame == boards[3].frame).all() and again.defects == boards[3].defects
    assert (draw_board(3, defects=12, clean_capture=True).frame != boards[3].frame).any()


def test_necks_are_thinner_and_elsewhere_nothing_changes():
    copper = np.zeros((400, 400), np.uint8)
    copper[:, 100:120] = copper[:, 200:260] = 255
    after = necked(np.random.default_rng(4), copper)
    assert set(np.unique(after)) <= {0, 255} and (after != copper).any()
    near = cv2.dilate(copper, np.ones((9, 9))) != cv2.erode(copper, np.ones((9, 9)))
    assert not (after != copper)[~near].any(), "only edges move, by three pixels at most"
