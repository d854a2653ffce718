"""What is told of long work where it goes into a file."""

from framegate_models.choosing import _half
from framegate_models.progress import progress


def test_each_tenth_of_a_stage_is_a_line_that_ends_where_its_words_end(capsys):
    with progress() as said:
        for hundredth in range(0, 101, 5):
            said("trying", hundredth / 100, "" if hundredth == 100 else "quarter 1")
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 11
    assert lines[0] == "trying   0 %  quarter 1" and lines[-1] == "trying 100 %"


def test_a_half_of_the_work_that_has_no_more_to_say_says_which_half_it_was():
    told = []
    for evened in (False, True):
        half = _half(lambda *one: told.append(one), evened=evened)
        half("trying", 0.5, "quarter 3")
        half("trying", 1.0, "")
    assert told == [
        ("trying", 0.25, "as taken, quarter 3"),
        ("trying", 0.5, "as taken"),
        ("trying", 0.75, "at one contrast, quarter 3"),
        ("trying", 1.0, "at one contrast"),
    ]
