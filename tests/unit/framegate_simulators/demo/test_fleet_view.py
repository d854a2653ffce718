"""What a demonstration says of its cameras."""

from collections import Counter

from framegate_simulators.demo.fleet_view import told


def test_outcomes_are_told_in_words_most_first():
    assert told(Counter(PASS=66, DEFECT=94)) == "94 DEFECT, 66 PASS"


def test_where_there_were_none_it_says_so():
    assert told({}) == "none"
