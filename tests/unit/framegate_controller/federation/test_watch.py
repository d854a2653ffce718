"""What is known of other sites' links, and that it decides nothing."""

import threading

import pytest

from framegate.errors import Malformed, Reason, Refused, Unavailable
from framegate.federation.bundle import bundle_of, parse_bundle
from framegate.federation.receipts import SiteStanding
from framegate.registry.site import Link
from framegate_controller.federation.watch import SiteWatch
from support.other_sites import forged_root, pinned, site

AWAY = Unavailable.of(Reason.UNAVAILABLE, "the bundle", "nobody there")
NAMES = [
    "site-reachable",
    "site-unreachable",
    "site-bundle-refused",
    "site-key-offered",
]


class Peer:
    """Answers, or raises, what a test says."""

    def __init__(self, answer) -> None:
        self.answer, self.asked = answer, []

    def __call__(self, endpoint, pinned_bundle):
        self.asked.append(endpoint)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.fixture
def peer(north):
    return Peer(pinned(north))


@pytest.fixture
def watch(bench, peer):
    return SiteWatch(bench.store, peer)


def keep(bench, kept):
    with bench.store.writing() as tx:
        tx.sites.put(kept)


def now(bench):
    with bench.store.reading() as tx:
        return tx.sites.get("north")


def told(bench):
    return [e["event"] for n in NAMES for e in bench.events(n)]


def later(bench, watch, seconds):
    bench.clock.pass_s(seconds)
    watch.look()
    return now(bench)


def test_one_that_was_just_pinned_is_asked_at_once_and_then_when_it_wants(
    bench, north, watch, peer
):
    keep(bench, site(north, added_ms=bench.clock()))
    first = later(bench, watch, 1)
    assert (first.seen_ms, first.link(bench.clock())) == (bench.clock(), Link.UP)
    later(bench, watch, first.refresh_s - 1)
    assert len(peer.asked) == 1
    later(bench, watch, 1)
    assert len(peer.asked) == 2
    assert told(bench) == ["site-reachable"]


def test_a_link_that_is_cut_is_told_once_and_takes_nothing(bench, north, watch, peer):
    keep(bench, site(north, added_ms=bench.clock()))
    up = later(bench, watch, 1)
    peer.answer = AWAY
    cut = later(bench, watch, up.refresh_s)
    since = bench.clock()
    again = later(bench, watch, 30)
    assert (cut.link(since), again.failing_ms, again.failures) == (Link.STALE, since, 2)
    assert (again.standing, again.pinned, again.seen_ms) == (
        SiteStanding.TRUSTED,
        up.pinned,
        up.seen_ms,
    )
    assert again.link(up.seen_ms + 3_000 * up.refresh_s + 1) is Link.DOWN
    peer.answer = pinned(north)
    back = later(bench, watch, 30)
    assert (back.failing_ms, back.error, back.link(bench.clock())) == (0, "", Link.UP)
    assert told(bench) == ["site-reachable", "site-reachable", "site-unreachable"]


@pytest.mark.parametrize(
    "answer",
    [
        Malformed.of(Reason.SITE_BUNDLE, "a bundle", "junk"),
        Refused.of(Reason.CERTIFICATE, "its endpoint", "another"),
    ],
    ids=["junk", "another"],
)
def test_what_does_not_fit_is_told_and_changes_no_key(bench, north, watch, peer, answer):
    keep(bench, site(north, added_ms=bench.clock()))
    peer.answer = answer
    after = later(bench, watch, 1)
    later(bench, watch, 30)
    assert (after.pinned, after.seen_ms) == (pinned(north), 0)
    assert told(bench) == ["site-bundle-refused"]
    peer.answer = AWAY
    later(bench, watch, 30)
    assert told(bench) == ["site-unreachable", "site-bundle-refused"]


def test_keys_that_nobody_approved_are_told_once_and_do_not_count(bench, north, watch, peer):
    keep(bench, site(north, added_ms=bench.clock()))
    peer.answer = parse_bundle(bundle_of([north.root.certificate, forged_root()]))
    after = later(bench, watch, 1)
    later(bench, watch, after.refresh_s)
    assert len(after.offered) == 1
    assert after.pinned == after.known.bundle == pinned(north)
    assert after.sequence > pinned(north).sequence
    assert told(bench).count("site-key-offered") == 1
    peer.answer = pinned(north)
    gone_back = later(bench, watch, after.refresh_s)
    assert "goes back" in gone_back.error


def test_one_that_was_withdrawn_is_asked_no_more(bench, north, watch, peer):
    keep(bench, site(north, standing=SiteStanding.WITHDRAWN, added_ms=bench.clock()))
    assert later(bench, watch, 600).link(bench.clock()) is Link.WITHDRAWN
    assert not peer.asked


def test_what_people_decide_while_it_is_asked_stands(bench, north):
    asked, decided = threading.Event(), threading.Event()

    def slow(_endpoint, shown):
        asked.set()
        assert decided.wait(30)
        return shown

    keep(bench, site(north, added_ms=bench.clock()))
    bench.clock.pass_s(1)
    looking = threading.Thread(target=SiteWatch(bench.store, slow).look)
    looking.start()
    assert asked.wait(30)
    keep(bench, site(north, standing=SiteStanding.WITHDRAWN, withdrawn_ms=5))
    decided.set()
    looking.join(30)
    assert (now(bench).standing, now(bench).seen_ms) == (SiteStanding.WITHDRAWN, 0)


def test_one_that_was_never_seen_is_neither_up_nor_down(north):
    assert site(north).link(10**12) is Link.NEVER
