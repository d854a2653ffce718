"""Drawn boards."""

from framegate_simulators.boards.boards import CLASSES, draw_board


def test_boards_are_deterministic_and_their_classes_true():
    a, b = draw_board(3), draw_board(3)
    assert (a.frame == b.frame).all() and a.defects == b.defects
    goldens = [draw_board(s, design=5, clean_capture=True).golden for s in (1, 2)]
    assert (goldens[0] == goldens[1]).all()
    board = draw_board(11, defects=10, clean_capture=True)
    for d in board.defects:
        assert 0 <= d.x1 < d.x2 <= 640 and 0 <= d.y1 < d.y2 <= 640 and d.kind in CLASSES
