"""What people said of verdicts: the last word counts, by zone."""

from framegate.record.reviews import LineFigures, figures_of, reviews_of


def entry(index, verdict_id, outcome, right, zone="line-1", **more):
    members = {"verdict_id": verdict_id, "line": zone, "part_type": "t", "outcome": outcome}
    members |= {"right": right} | more
    return {
        "index": index,
        "at_ms": index,
        "event": "verdict-reviewed",
        "actor": "operator.anna",
        "device": "camera.line-1.cam1",
        "members": members,
    }


def test_who_thinks_again_says_it_again_and_that_counts():
    reviews = reviews_of(
        [
            entry(1, "a", "PASS", True),
            entry(2, "b", "DEFECT", False, note="glare", because="x"),
            {"index": 3, "event": "late", "at_ms": 3},
            entry(4, "a", "PASS", False),
        ]
    )
    assert [(r.index, r.verdict_id, r.right) for r in reviews] == [(2, "b", False), (4, "a", False)]
    assert (reviews[0].note, reviews[0].reason, reviews[1].note) == ("glare", "x", "")
    assert reviews[0].reviewer == "operator.anna" and reviews[0].camera == "camera.line-1.cam1"


def test_figures_count_wrong_verdicts_by_what_they_were():
    reviews = reviews_of(
        [
            entry(1, "a", "PASS", False, "line-2"),
            entry(2, "b", "DEFECT", False),
            entry(3, "c", "UNINSPECTED", False),
            entry(4, "d", "UNINSPECTED", False),
            entry(5, "e", "PASS", True),
        ]
    )
    assert figures_of(reviews) == [
        LineFigures("line-1", 4, escapes=0, false_calls=1, withheld_good=2),
        LineFigures("line-2", 1, escapes=1, false_calls=0, withheld_good=0),
    ]
    assert figures_of([]) == reviews_of([]) == []
