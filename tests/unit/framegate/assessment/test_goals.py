"""Goals: parsed strictly, held against facts, forecast only where data allow."""

from datetime import UTC, date, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from framegate.assessment.facts import measured
from framegate.assessment.goals import (
    MAX_GOALS,
    Goal,
    Point,
    Standing,
    forecast,
    held,
    history,
    parse_goals,
)
from framegate.assessment.reading import DAY_MS, Reading, View
from framegate.errors import FramegateError, Malformed
from framegate_operator.goals import EXAMPLE
from framegate_simulators.fixtures.assessed_plant import AssessedPlant
from framegate_simulators.fixtures.broken_controls import BREAKS
from support.readings import reading_of

NOW = 1_790_000_000_000
ONE = '[[goal]]\nname = "a"\nfact = "machines-attested"\nleast = 0.9\nwhy = "w"\n'


def goals(text=ONE):
    return f"version = 1\n{text}"


def test_the_example_holds():
    assert [g.fact for g in parse_goals(EXAMPLE)] == [
        "machines-attested",
        "sign-ins-phishing-resistant",
        "drills-held",
    ]


WRONG = {
    "no version": ONE,
    "another version": f"version = 2\n{ONE}",
    "no goal": "version = 1",
    "an empty list": "version = 1\ngoal = []",
    "more": goals(ONE + "extra = 1"),
    "no limit": goals(ONE.replace("least = 0.9\n", "")),
    "two limits": goals(ONE.replace("least = 0.9", "least = 0.9\nmost = 1.0")),
    "a share above one": goals(ONE.replace("0.9", "1.1")),
    "a limit below zero": goals(ONE.replace("0.9", "-0.1")),
    "a limit that is none": goals(ONE.replace("0.9", "nan")),
    "a truth as a limit": goals(ONE.replace("0.9", "true")),
    "an unknown fact": goals(ONE.replace("machines-attested", "machines-attend")),
    "a fact that is a number": goals(ONE.replace('"machines-attested"', "1")),
    "a zone of the fleet's": goals(
        ONE.replace('"machines-attested"', '"changes-by-two"\nzone = "line-1"')
    ),
    "a bad zone": goals(ONE + 'zone = "Line 1"'),
    "a name twice": goals(ONE + ONE),
    "a bad name": goals(ONE.replace('"a"', '"A b"')),
    "no why": goals(ONE.replace('"w"', '" "')),
    "a time, not a day": goals(ONE + "by = 2027-01-01T00:00:00Z"),
    "a text as a day": goals(ONE + 'by = "2027-01-01"'),
    "too many": goals("".join(ONE.replace('"a"', f'"a{n}"') for n in range(MAX_GOALS + 1))),
    "too long": goals(ONE + "#" * 20_000),
    "no TOML": "version = ",
}


@pytest.mark.parametrize("what", sorted(WRONG))
def test_what_are_no_goals_is_refused_with_a_way_on(what):
    with pytest.raises(Malformed) as refused:
        parse_goals(WRONG[what])
    assert refused.value.failures[0].expected


@settings(max_examples=40)
@given(st.text(max_size=300) | st.text(max_size=80).map(lambda t: goals(ONE + t)))
def test_whatever_the_text_only_our_errors_come_out(text):
    try:
        parsed = parse_goals(text)
    except FramegateError:
        return
    assert parsed


def test_a_goal_is_met_missed_open_or_not_measured():
    plant = AssessedPlant(NOW)
    whole = reading_of(plant)
    (met,) = parse_goals(goals())
    assert held(met, whole, NOW).standing == Standing.MET
    assert held(met, Reading(), NOW).standing == Standing.NOT_MEASURED
    BREAKS["machines-attested"](plant)
    broken, (more,) = reading_of(plant), parse_goals(goals(ONE.replace("0.9", "0.99")))
    assert held(more, broken, NOW).standing == Standing.MISSED
    later = datetime.fromtimestamp(NOW / 1000 + 90_000, UTC)
    day = date(later.year, later.month, later.day)
    (by,) = parse_goals(goals(ONE.replace("0.9", "0.99") + f"by = {day}\n"))
    assert held(by, broken, NOW).standing == Standing.OPEN
    assert held(by, broken, by.by_ms).standing == Standing.MISSED


def test_a_goal_of_one_zone_is_of_that_zone_alone():
    plant = AssessedPlant(NOW)
    plant.join(5 * 3_600_000, "gateway.line-2.gw1")
    read = reading_of(plant)
    wanted = ONE.replace("0.9", "1.0")
    zones = [wanted + f'zone = "{zone}"\n' for zone in ("line-1", "line-2", "line-9")]
    found = [held(parse_goals(goals(z))[0], read, NOW).standing for z in zones]
    assert found == [Standing.MET, Standing.MISSED, Standing.NOT_MEASURED]


@pytest.mark.parametrize("name", ["contain", "acknowledge", "recover"])
def test_a_goal_of_a_time_counts_incidents_of_its_zone_alone(name):
    read = reading_of(AssessedPlant(NOW))
    fleet, here, elsewhere = (
        measured(f"time-to-{name}", View(read, NOW, zone)) for zone in ("", "line-1", "line-2")
    )
    assert (here.value, here.part) == (fleet.value, fleet.part) and here.value is not None
    assert (elsewhere.value, elsewhere.words) == (None, "no data")
    before = View(read, NOW - 200 * DAY_MS)
    assert measured(f"time-to-{name}", before).value is None


def test_history_is_what_the_record_says_of_each_time():
    (goal,) = parse_goals(goals(ONE.replace("machines-attested", "cameras-masked")))
    read = reading_of(AssessedPlant(NOW))
    times = [NOW - 200 * DAY_MS, NOW - 119 * DAY_MS, NOW]
    assert [p.value for p in history(goal, read, times)] == [None, 0.0, 1.0]


def points(*values, days=7):
    return [Point(at_ms=NOW + n * days * DAY_MS, value=v) for n, v in enumerate(values)]


SHARE = Goal(name="a", fact="machines-attested", zone="", least=0.9, most=None, by_ms=0, why="w")


def test_a_forecast_is_a_line_through_what_was_measured():
    when = forecast(SHARE, points(0.5, 0.6, 0.7, 0.8))
    assert abs(when - (NOW + 28 * DAY_MS)) < 1000
    with_gaps = forecast(SHARE, points(0.5, None, 0.6, None, 0.7, None, 0.8))
    assert abs(with_gaps - (NOW + 56 * DAY_MS)) < 1000
    down = Goal(name="a", fact="time-to-contain", zone="", least=None, most=10, by_ms=0, why="w")
    assert forecast(down, points(50, 40, 30, 20)) is not None


@pytest.mark.parametrize(
    "measured",
    [
        (),
        (0.5, 0.6, 0.7),
        (None, None, None, 0.5),
        (0.5, 0.5, 0.5, 0.5),
        (0.8, 0.7, 0.6, 0.5),
        (0.5, 0.6, 0.7, 0.95),
        (0.5, 0.5001, 0.5002, 0.5003),
        (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.85),
    ],
    ids=["none", "few", "one", "flat", "away", "reached", "in years", "no line"],
)
def test_where_data_say_nothing_there_is_no_forecast(measured):
    assert forecast(SHARE, points(*measured)) is None


def test_points_that_lie_close_together_are_no_forecast():
    assert forecast(SHARE, points(0.5, 0.6, 0.7, 0.8, days=2)) is None


@given(st.lists(st.none() | st.floats(0, 1), max_size=12))
def test_a_forecast_is_in_the_year_to_come_or_none(values):
    told = points(*values)
    when = forecast(SHARE, told)
    assert when is None or told[0].at_ms < when <= told[-1].at_ms + 366 * DAY_MS
