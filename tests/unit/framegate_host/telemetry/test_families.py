"""A label says nothing that is not on its list."""

import pytest

from framegate_host.telemetry.exposition import Exposition, Timings, summed
from framegate_host.telemetry.families import Family, FamilyKind, Label, Reading, each
from support.scrape import COUNTS, DEVICES, FAMILIES, TOOK, series


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("framegate_parts", FamilyKind.COUNTER),
        ("framegate_parts_total", FamilyKind.GAUGE),
        ("parts_total", FamilyKind.COUNTER),
        ("framegate_Parts_total", FamilyKind.COUNTER),
        ("framegate_parts_milliseconds", FamilyKind.HISTOGRAM),
    ],
)
def test_names_are_by_the_conventions(name, kind):
    with pytest.raises(ValueError, match=name):
        Family(name, kind, "x", (), (1.0,))


def test_a_counter_is_there_before_its_first_event():
    told = {r.labels: r.value for r in each(COUNTS, {"b": 2})}
    assert told == {("a",): 0, ("b",): 2}


def test_what_is_not_on_the_list_is_one_series_and_is_added_up():
    told = summed(FAMILIES, [Reading(COUNTS, 1, (f"x{n}",)) for n in range(1000)])
    assert told[COUNTS.name] == {("other",): 1000}


def test_a_family_that_is_not_declared_is_a_fault():
    other = Family("framegate_unknown", FamilyKind.GAUGE, "x")
    with pytest.raises(ValueError, match="framegate_unknown"):
        Exposition(FAMILIES).page([Reading(other, 1)])


def test_a_reading_with_labels_of_another_number_is_a_fault():
    with pytest.raises(ValueError, match="argument"):
        Exposition(FAMILIES).page([Reading(COUNTS, 1, ("a", "b"))])


def test_a_histogram_by_machine_cannot_be_declared():
    family = Family("framegate_x_seconds", FamilyKind.HISTOGRAM, "x", (Label("id", None),), (1.0,))
    with pytest.raises(ValueError, match="flood"):
        Exposition([family])


def test_timings_count_by_their_labels_and_others():
    page = Exposition(FAMILIES)
    timings: Timings = page.timings(TOOK)
    timings.took(0.5, "a")
    timings.took(-1, "stranger")
    told = series(page.page([]).body.decode())
    assert told["framegate_test_duration_seconds_count", (("kind", "a"),)] == 1
    assert told["framegate_test_duration_seconds_count", (("kind", "b"),)] == 0
    assert told["framegate_test_duration_seconds_sum", (("kind", "other"),)] == 0


def test_a_machine_that_is_read_no_more_has_no_series():
    page = Exposition(FAMILIES)
    assert "cam1" in page.page([Reading(DEVICES, 1, ("cam1",))]).body.decode()
    assert "cam1" not in page.page([]).body.decode()
