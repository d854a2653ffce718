"""What a machine booted, beside what of its profile knows it."""

from dataclasses import replace

from framegate.eventlog import parse_boot_log
from framegate.evidence.boot_events import Known, event_failures, judged_events
from framegate.profile.model import parse_profile
from framegate_console.pages.boot import SHOWN, boot_view
from framegate_simulators.machine.boot import Firmware, boot_log, measurements, profile_toml

GOOD = Firmware("m")
PROFILE = parse_profile(profile_toml(GOOD, "m").encode())


def log_of(firmware: Firmware):
    return parse_boot_log(boot_log(measurements(firmware)))


def test_a_good_machine_shows_nothing_that_its_profile_does_not_know():
    view = boot_view(log_of(GOOD), PROFILE)
    assert (view.unknown, view.more, list(view.absent)) == (0, 0, [])
    assert {r.known for r in view.rows} >= {Known.RULE, Known.SEPARATOR, Known.TEXT}
    assert all(len(r.digest) == 64 for r in view.rows if r.known is not Known.UNMEASURED)
    assert all(r.by for r in view.rows if r.known in {Known.RULE, Known.TEXT})


def test_what_was_changed_stands_first_with_what_was_expected_and_what_is_absent_is_told():
    view = boot_view(log_of(GOOD.tampered()), PROFILE)
    first = view.rows[0]
    assert view.unknown == 1 and first.known is Known.NOTHING and first.pcr == "4"
    assert "boot loader" in first.failure.expected
    assert ["boot loader in PCR 4" in f.expected for f in view.absent] == [True]


def test_a_page_says_the_same_as_the_appraisal():
    for changed in (
        GOOD,
        GOOD.tampered(),
        replace(GOOD, kernel="k", secure_boot=False, extra_event="e"),
    ):
        log = log_of(changed)
        view = boot_view(log, PROFILE)
        told = [r.failure for r in view.rows if r.failure is not None] + list(view.absent)
        assert told == event_failures(log, PROFILE)


def test_every_event_is_judged_once_and_in_its_order():
    log = log_of(GOOD)
    assert [j.event for j in judged_events(log, PROFILE)] == list(log.events)


def test_a_log_that_never_ends_fits_a_page():
    log = log_of(GOOD)
    many = replace(log, events=log.events * (SHOWN // len(log.events) + 2))
    view = boot_view(many, PROFILE)
    assert len(view.rows) == SHOWN and view.more == len(many.events) - SHOWN
