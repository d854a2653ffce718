"""Each of the ten rules: met, just not met (n - 1, n, the window's last millisecond), and people
who do nothing wrong.
"""

import pytest

from framegate.behaviour.deed import NOWHERE, Sites, deed_of, network_of, parse_sites
from framegate.behaviour.rules import DAY, HOUR, MINUTE, RULES, Limits, RuleName
from framegate.behaviour.watch import BehaviourWatch
from framegate.behaviour.windows import Limit, Mark, Window
from framegate.errors import Reason
from framegate.record.entry import Act, event_entry
from framegate.record.people_events import AccessAsked, SignedIn, VerbDenied
from support.deeds import HOME, Scene

L = Limits()
T = 100 * DAY


def spread(limit: Limit, count: int, over_ms: int) -> list[int]:
    """`count` times from T on, the last exactly `over_ms` after the first."""
    return [T + over_ms * n // max(1, count - 1) for n in range(count)]


# windows: every rule that counts stands on them


@pytest.mark.parametrize("limit", [Limit(1, 10), Limit(3, 1000), Limit(5, DAY)])
def test_a_window_is_met_by_n_within_it_and_not_by_fewer_or_longer(limit):
    def met(times):
        window = Window((limit,))
        return [window.add(Mark(n, at, 1)) is not None for n, at in enumerate(times)]

    assert met(spread(limit, limit.least, limit.within_ms))[-1]
    assert met(spread(limit, limit.least, limit.within_ms - 1))[-1]
    assert not any(met(spread(limit, limit.least - 1, limit.within_ms)))
    if limit.least > 1:
        assert not any(met(spread(limit, limit.least, limit.within_ms + 1)))


def test_weights_count_and_what_was_told_counts_no_more():
    window = Window((Limit(10, 1000),))
    assert window.add(Mark(0, 0, 9)) is None
    met = window.add(Mark(1, 5, 2))
    assert met is not None and (met.first, met.last, met.count) == (0, 1, 11)
    assert window.add(Mark(2, 6, 9)) is None


def test_a_window_keeps_no_more_than_it_needs():
    window = Window((Limit(5, DAY),))
    for n in range(100_000):
        window.keep(Mark(n, n, 1))
    assert sum(len(kept) for kept in window._kept) == 5


# 1: failures, then success


def failures(scene, times, count=1, person="anna"):
    for at in times:
        scene(at, "sign-in-failed", person, members={"count": count})
    return scene


@pytest.mark.parametrize("limit", L.failures)
def test_failures_then_success(limit):
    last = T + limit.within_ms
    for count, at, found in (
        (limit.least, last, 1),
        (limit.least - 1, last, 0),
        (limit.least, last + 1, 0),
        (limit.least, last - 1, 1),
    ):
        times = [T] + [last - 1] * (count - 1)
        scene = failures(Scene(), times)(at, "signed-in")
        got = scene.findings(RuleName.FAILURES_THEN_SUCCESS, Limits(failures=(limit,)))
        assert len(got) == found, (count, at)


def test_failures_of_others_or_after_a_while_are_nobodys():
    scene = failures(Scene(), [T] * 5, person="berta")(T + 1, "signed-in", "anna")
    assert not scene.findings(RuleName.FAILURES_THEN_SUCCESS)
    scene = failures(Scene(), [T] * 4)(T + 1, "signed-in")
    assert not failures(scene, [T + 1 + L.folded_ms + 1]).findings(RuleName.FAILURES_THEN_SUCCESS)


@pytest.mark.parametrize(("after", "found"), [(L.folded_ms, 1), (L.folded_ms + 1, 0)])
def test_n154_failures_that_are_recorded_together_after_the_sign_in_count(after, found):
    scene = Scene()(T, "sign-in-failed")(T + 10, "signed-in")
    scene(T + 10 + after, "sign-in-failed", members={"count": 9})
    assert len(scene.findings(RuleName.FAILURES_THEN_SUCCESS)) == found


def test_somebody_with_fat_fingers_is_told_of_nowhere():
    scene = Scene()
    for day in range(60):
        failures(scene, [T + day * DAY], 2)(T + day * DAY + MINUTE, "signed-in", source=HOME)
    assert not scene.findings(RuleName.FAILURES_THEN_SUCCESS)


# 2: first seen


def habits(days=15, a_day=2, person="anna", source=HOME, verb="device.list"):
    scene = Scene()
    for n in range(days * a_day):
        at = T + n * DAY // a_day
        scene(at, "allowed", person, source=source, verb=verb)
    return scene


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        ({"source": "192.0.2.0/24"}, "address"),
        ({"source": "10.2.1.0/24"}, "site"),
        ({"source": HOME, "verb": "trust.add"}, "verb"),
    ],
)
def test_what_was_never_done_is_told_once_habits_are_known(given, kind):
    after = T + 15 * DAY
    assert kind in habits()(after, "allowed", **given).kinds(RuleName.FIRST_SEEN)
    again = habits()(after, "allowed", **given)(after + 1, "allowed", **given)
    assert again.kinds(RuleName.FIRST_SEEN).count(kind) == 1


def test_before_two_weeks_and_twenty_deeds_nothing_is_told():
    new = {"source": "192.0.2.0/24"}
    scene = habits(days=14)
    for at, told in ((T + L.habit_ms - 1, False), (T + L.habit_ms, True)):
        again = Scene()
        again.deeds = list(scene.deeds)
        assert bool(again(at, "allowed", **new).kinds(RuleName.FIRST_SEEN)) is told
    few = habits(days=L.habit_deeds, a_day=1)
    few.deeds = few.deeds[: L.habit_deeds - 1]
    assert not few(T + 30 * DAY, "allowed", **new).kinds(RuleName.FIRST_SEEN)


@pytest.mark.parametrize(("later", "told"), [(L.known_ms, False), (L.known_ms + 1, True)])
def test_what_was_not_done_for_a_quarter_is_new_again(later, told):
    scene = habits()(T + 15 * DAY, "allowed", source="192.0.2.0/24")
    scene(T + 15 * DAY + later, "allowed", source="192.0.2.0/24")
    told_at = [f.at_ms for f in scene.findings(RuleName.FIRST_SEEN) if f.kind == "address"]
    assert (T + 15 * DAY + later in told_at) is told


def test_light_verbs_denials_and_sites_that_nobody_named_are_not_told():
    scene = habits()(T + 15 * DAY, "allowed", source=HOME, verb="device.show")
    scene(T + 15 * DAY, "denied", source=HOME, verb="trust.add")
    assert not scene.kinds(RuleName.FIRST_SEEN)
    scene(T + 15 * DAY, "allowed", source="10.2.1.0/24")
    assert scene.kinds(RuleName.FIRST_SEEN, sites=Sites()) == ["address"]


# 3: odd hours


def days_of(hours, days, person="anna"):
    scene = Scene()
    for day in range(days):
        for hour in hours:
            scene(T + day * DAY + hour * HOUR, "allowed", person, source=HOME)
    return scene


@pytest.mark.parametrize("days", [L.hours_days, L.hours_days - 1])
def test_an_hour_of_the_night_is_told_once_hours_are_known(days):
    at = T + days * DAY + 2 * HOUR
    scene = days_of((8, 15), days)(at, "allowed", source=HOME)(at + MINUTE, "allowed", source=HOME)
    assert len(scene.findings(RuleName.ODD_HOURS)) == (days >= L.hours_days)


@pytest.mark.parametrize(("hour", "odd"), [(5, True), (6, False), (10, False), (11, True)])
def test_two_hours_more_or_less_are_ones_own(hour, odd):
    at = T + 30 * DAY + hour * HOUR
    scene = days_of((8,), 30)(at, "allowed", source=HOME)
    assert bool(scene.findings(RuleName.ODD_HOURS)) is odd


def test_midnight_is_beside_eleven_at_night():
    at = T + 30 * DAY
    assert not days_of((23,), 30)(at, "allowed", source=HOME).findings(RuleName.ODD_HOURS)


def test_n154_one_night_does_not_make_nights_usual():
    scene = days_of((8,), 30)
    nights = [T + (30 + n) * DAY + 2 * HOUR for n in range(3)]
    for at in nights:
        scene(at, "allowed", source=HOME)
    assert [f.at_ms for f in scene.findings(RuleName.ODD_HOURS)] == nights[:2]


def test_shifts_that_rotate_are_ones_hours():
    scene = Scene()
    for day in range(90):
        begin = (5, 13, 21)[day // 7 % 3]
        for hour in (0, 3, 7):
            scene(T + day * DAY + (begin + hour) * HOUR, "allowed", source=HOME)
    assert not scene.findings(RuleName.ODD_HOURS)


# 4: exports


def exported(scene, at, verb="frame.export", frames=None):
    request = f"r{len(scene.deeds)}"
    scene(at, "access-asked", members={"request": request, "about": verb})
    members = {"request": request} | ({"frames": frames} if frames else {})
    return scene(at, "approval-taken", members=members)


@pytest.mark.parametrize("limit", L.exports)
def test_exports_by_number(limit):
    for count, over, found in (
        (limit.least, limit.within_ms, True),
        (limit.least - 1, limit.within_ms, False),
        (limit.least, limit.within_ms + 1, False),
    ):
        scene = Scene()
        for at in spread(limit, count, over):
            exported(scene, at)
        only = Limits(exports=(limit,))
        assert bool(scene.kinds(RuleName.EXPORTS, limits=only)) is found


@pytest.mark.parametrize("limit", L.frames)
def test_exports_by_their_sum(limit):
    for over, last, found in (
        (limit.within_ms, 1, True),
        (limit.within_ms, 0, False),
        (limit.within_ms + 1, 1, False),
    ):
        scene = exported(Scene(), T, "dataset.export", limit.least - 1)
        if last:
            exported(scene, T + over, "frame.export", last)
        only = Limits(frames=(limit,))
        assert ("much" in scene.kinds(RuleName.EXPORTS, limits=only)) is found


def test_approvals_for_other_things_and_of_nobody_are_no_exports():
    scene = Scene()
    for n in range(50):
        exported(scene, T + n, "mask.set")
        scene(T + n, "approval-taken", members={"request": f"never-asked-{n}"})
    assert not scene.findings(RuleName.EXPORTS)


def test_an_export_a_day_is_nothing():
    scene = Scene()
    for day in range(60):
        exported(scene, T + day * DAY)
    assert not scene.findings(RuleName.EXPORTS)


def reported(scene, at, who="operator.anna", event="frame-exported", count=1):
    """A gateway's word that frames left which took nobody's approval."""
    return scene(at, event, person="", members={"reason": who, "count": count})


@pytest.mark.parametrize("limit", L.exports)
def test_exports_that_took_no_approval_by_number(limit):
    for count, over, found in (
        (limit.least, limit.within_ms, True),
        (limit.least - 1, limit.within_ms, False),
        (limit.least, limit.within_ms + 1, False),
    ):
        scene = Scene()(T - 1, "signed-in")
        for at in spread(limit, count, over):
            reported(scene, at)
        assert bool(scene.kinds(RuleName.EXPORTS, limits=Limits(exports=(limit,)))) is found


@pytest.mark.parametrize("limit", L.frames)
def test_exports_that_took_no_approval_by_their_sum(limit):
    for over, last, found in (
        (limit.within_ms, 1, True),
        (limit.within_ms, 0, False),
        (limit.within_ms + 1, 1, False),
    ):
        scene = reported(
            Scene()(T - 1, "signed-in"), T, event="dataset-exported", count=limit.least - 1
        )
        if last:
            reported(scene, T + over, count=last)
        only = Limits(frames=(limit,), exports=())
        assert ("much" in scene.kinds(RuleName.EXPORTS, limits=only)) is found


def test_what_was_approved_and_what_was_not_count_together_and_about_who_took_it():
    scene = Scene()(T, "signed-in")
    exported(exported(scene, T + 1), T + 2)
    reported(reported(scene, T + 3), T + 4, count=2)
    (finding,) = scene.findings(RuleName.EXPORTS)
    assert (finding.person, finding.count, finding.kind) == ("anna", 5, "often")


def test_frames_counted_together_are_so_many_exports_and_a_data_set_is_one():
    many = reported(Scene()(T, "signed-in"), T + 1, count=5)
    assert many.kinds(RuleName.EXPORTS) == ["often"]
    one = reported(Scene()(T, "signed-in"), T + 1, event="dataset-exported", count=399)
    assert not one.findings(RuleName.EXPORTS)


def test_n155_a_gateways_word_about_whom_nobody_knows_counts_for_nobody():
    scene = Scene()(T, "signed-in")
    for number in range(2_000):
        for who in (f"operator.x{number}", "operator.", "anna", "gateway.line-1.gw1", "", 7):
            reported(scene, T + number, who, count=10_000)
    assert not scene.findings()
    watch = BehaviourWatch()
    for deed in scene.deeds:
        watch.deed(deed)
    assert all(len(vars(d).get("_people", ())) <= 1 for d in watch._detectors)


# 5: denials


@pytest.mark.parametrize("limit", L.denials)
def test_denials_by_number(limit):
    for count, over, found in (
        (limit.least, limit.within_ms, True),
        (limit.least - 1, limit.within_ms, False),
        (limit.least, limit.within_ms + 1, False),
    ):
        scene = Scene()
        for at in spread(limit, count, over):
            scene(at, "denied", verb="device.lift")
        only = Limits(denials=(limit,))
        assert bool(scene.findings(RuleName.DENIALS, only)) is found


def test_denials_by_how_many_verbs():
    limit = L.denied_verbs
    for count, over, found in (
        (limit.least, limit.within_ms, True),
        (limit.least - 1, limit.within_ms, False),
        (limit.least, limit.within_ms + 1, False),
    ):
        scene = Scene()
        for n, at in enumerate(spread(limit, count, over)):
            scene(at, "denied", verb=f"v{n}")(at, "denied", verb=f"v{n}")
        assert ("verbs" in scene.kinds(RuleName.DENIALS)) is found


def test_denials_of_ten_people_are_ten_peoples():
    scene = Scene()
    for n in range(10):
        scene(T + n, "denied", f"p{n}", verb="device.lift")
    assert not scene.findings(RuleName.DENIALS)


# 6: approving each other


def approved(scene, at, asker, approver):
    request = f"r{len(scene.deeds)}"
    scene(at, "access-asked", asker, members={"request": request})
    return scene(at, "access-approved", approver, members={"request": request})


def pairs(count, over=0, third=False):
    scene = Scene()
    for n in range(count):
        at = T + over * n // max(1, count - 1)
        approved(scene, T if n == 0 else at, "anna", "berta")
        approved(scene, at, "berta", "anna")
    return scene


def test_two_who_approve_each_other():
    limit = L.each_other
    assert pairs(limit.least, limit.within_ms).findings(RuleName.EACH_OTHER)
    assert not pairs(limit.least - 1).findings(RuleName.EACH_OTHER)
    assert not pairs(limit.least, limit.within_ms + 1).findings(RuleName.EACH_OTHER)


def test_a_third_who_approves_or_one_side_alone_is_what_four_eyes_are():
    scene = approved(Scene(), T, "anna", "carla")
    scene.deeds += pairs(3).deeds
    assert not scene.findings(RuleName.EACH_OTHER)
    one = Scene()
    for n in range(20):
        approved(one, T + n, "anna", "berta")
    assert not one.findings(RuleName.EACH_OTHER)


# 7: break-glass


def test_a_sealed_credential_is_told_each_time():
    scene = Scene()(T, "break-glass-used")(T + 1, "break-glass-used")
    assert len(scene.findings(RuleName.BREAK_GLASS)) == 2
    assert not Scene()(T, "break-glass-sealed").findings(RuleName.BREAK_GLASS)


@pytest.mark.parametrize(("apart", "found"), [(DAY, 1), (DAY + 1, 0)])
def test_its_window_slides_like_any_other(apart, found):
    two = Limits(break_glass=Limit(2, DAY))
    scene = Scene()(T, "break-glass-used")(T + apart, "break-glass-used")
    assert len(scene.findings(RuleName.BREAK_GLASS, two)) == found


# 8: dormant


@pytest.mark.parametrize("event", ["signed-in", "allowed"])
@pytest.mark.parametrize(("slept", "found"), [(L.dormant_ms, 1), (L.dormant_ms - 1, 0)])
def test_an_account_that_slept(event, slept, found):
    scene = Scene()(T, "signed-in")(T + slept, event)
    assert len(scene.findings(RuleName.DORMANT)) == found


def test_an_account_that_nobody_ever_used_sleeps_from_when_it_was_added():
    scene = Scene()(T, "operator-added", "", members={"operator": "anna"})
    assert scene(T + L.dormant_ms, "operator-enrolled").findings(RuleName.DORMANT)


def test_somebody_who_is_new_or_guessed_at_does_not_wake_up():
    scene = Scene()(T, "signed-in")
    scene(T + 2 * L.dormant_ms, "sign-in-failed")(T + 2 * L.dormant_ms, "role-granted")
    assert not scene.findings(RuleName.DORMANT)
    assert not Scene()(T, "signed-in").findings(RuleName.DORMANT)


# 9: a change in a freeze


def test_a_change_in_a_frozen_zone():
    change = {"zone": "line-1", "verb": "device.retire"}
    scene = Scene()(T, "zone-frozen", "carla", zone="line-1")
    assert scene(T + 1, "retire", **change).kinds(RuleName.FREEZE) == ["frozen"]
    for zone, verb in (("line-2", "device.retire"), ("line-1", "device.quarantine")):
        free = Scene()(T, "zone-frozen", "carla", zone="line-1")(T, "x", zone=zone, verb=verb)
        assert not free.findings(RuleName.FREEZE)


@pytest.mark.parametrize(
    ("by", "after", "found"),
    [
        ("anna", L.after_thaw_ms, 1),
        ("anna", L.after_thaw_ms + 1, 0),
        ("anna", 0, 1),
        ("berta", 1, 0),
    ],
)
def test_a_change_by_whoever_thawed(by, after, found):
    scene = Scene()(T, "zone-frozen", zone="line-1")(T + 5, "zone-thawed", zone="line-1")
    scene(T + 5 + after, "retire", by, zone="line-1", verb="device.retire")
    assert len(scene.findings(RuleName.FREEZE)) == found


def test_tries_in_a_freeze():
    limit, reason = L.frozen_tries, {"reason": Reason.ZONE_FROZEN.value}
    for count, over, found in (
        (limit.least, limit.within_ms, True),
        (limit.least - 1, 0, False),
        (limit.least, limit.within_ms + 1, False),
    ):
        scene = Scene()
        for at in spread(limit, count, over):
            scene(at, "denied", members=reason, verb="device.retire")
        assert ("tries" in scene.kinds(RuleName.FREEZE)) is found


# 10: two sites


@pytest.mark.parametrize(
    ("apart", "found"), [(L.between_sites_ms, 1), (L.between_sites_ms + 1, 0), (0, 1)]
)
def test_two_sites_in_too_short_a_time(apart, found):
    scene = Scene()(T, "signed-in", source=HOME)(T + apart, "allowed", source="10.2.1.0/24")
    assert len(scene.findings(RuleName.TWO_SITES)) == found


def test_two_people_two_networks_of_a_site_or_somewhere_outside_are_no_two_sites():
    scene = Scene()(T, "signed-in", source=HOME)(T, "signed-in", "berta", source="10.2.1.0/24")
    scene(T + 1, "allowed", source="10.1.9.0/24")(T + 2, "allowed", source="192.0.2.0/24")
    assert not scene.findings(RuleName.TWO_SITES)
    assert not Scene()(T, "a", source=HOME)(T, "b", source="10.2.0.0/24").findings(
        RuleName.TWO_SITES, sites=Sites()
    )


def test_n154_a_site_in_between_does_not_hide_the_other():
    scene = Scene()(T, "a", source=HOME)(T + 1, "b", source="192.0.2.0/24")
    assert scene(T + 2, "c", source="10.2.1.0/24").findings(RuleName.TWO_SITES)


# what is read of an entry


def test_an_entry_of_the_record_is_read():
    asked = AccessAsked(
        request="r1", about="mask.set", zone="line-2", summary="x", content_sha256=""
    )
    act = Act(actor="operator.anna", source="10.1.7.9", verb="access.request")
    deed = deed_of(7, event_entry(asked, act, 5))
    assert deed is not None
    assert (deed.index, deed.at_ms, deed.person, deed.zone) == (7, 5, "anna", "line-2")
    assert (deed.source, deed.verb) == ("10.1.7.0/24", "access.request")
    machine = deed_of(1, event_entry(SignedIn(method="x", source="::1"), Act(actor="sign-in"), 1))
    assert machine is not None and (machine.person, machine.source) == ("", "::/64")
    denied = VerbDenied(verb="ca.rotate", about="x", reason=Reason.POLICY_DENIED)
    assert deed_of(1, event_entry(denied, Act(actor="operator.a"), 1)).verb == "ca.rotate"


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"kind": "event"},
        {"kind": "receipts", "event": "denied", "at_ms": 1},
        {"kind": "event", "event": 1, "at_ms": 1},
        {"kind": "event", "event": "denied", "at_ms": True},
        {"kind": "event", "event": "denied", "at_ms": "1"},
        {"kind": "event", "event": "behaviour-noticed", "at_ms": 1},
    ],
)
def test_what_is_no_event_or_a_finding_is_not_looked_at(body):
    assert deed_of(0, body) is None


def test_members_of_any_shape_are_taken_for_nothing():
    body = {"kind": "event", "event": "denied", "at_ms": 1, "actor": 5, "members": [], "device": {}}
    deed = deed_of(0, body)
    assert deed is not None and (deed.person, deed.zone, deed.count) == ("", "", 1)
    body["members"] = {"count": -3, "zone": 7}
    assert deed_of(0, body).count == 1


@pytest.mark.parametrize("text", ["", "x", "10.0.0.300", "0.0.0.0.0", "\x00"])
def test_what_is_no_address_is_of_no_network(text):
    assert network_of(text) == ""


def test_the_longest_prefix_says_the_site():
    sites = parse_sites(("north=10.0.0.0/8", "south=10.2.0.0/16"))
    assert [sites.of(network_of(a)) for a in ("10.1.1.1", "10.2.1.1", "9.9.9.9", "::1", "x")] == [
        "north",
        "south",
        NOWHERE,
        NOWHERE,
        "",
    ]


@pytest.mark.parametrize("text", ["north", "=10.0.0.0/8", "outside=10.0.0.0/8", "n=10.0.0.1/8"])
def test_sites_that_are_none_are_refused(text):
    with pytest.raises(ValueError, match=r".+"):
        parse_sites((text,))


def test_there_are_ten():
    assert len(RULES) == len(RuleName) == 10
