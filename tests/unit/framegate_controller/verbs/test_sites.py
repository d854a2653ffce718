"""Other sites: pinned, listed, withdrawn."""

import pytest

from framegate.errors import Malformed, Reason, Refused
from framegate.federation.bundle import bundle_of
from framegate.registry.site import MAX_SITES, parse_endpoint
from framegate_controller.rpc import sites
from framegate_controller.verbs.in_force import in_force
from framegate_proto.v1 import framegate_pb2 as pb
from framegate_simulators.fixtures.verbs import AllowedCaller
from support.other_sites import bundle, edited, forged_root, pinned, site


@pytest.fixture
def desk(bench):
    return AllowedCaller(bench.store, bench.fleet, sites.ROWS)


def request(raw, name="north", endpoint="north.example.net:7446"):
    return pb.AddSiteRequest(name=name, endpoint=endpoint, bundle=raw)


def refused(desk, call, asked) -> Refused:
    with pytest.raises(Refused) as caught:
        desk.ask(call, asked)
    return caught.value


def test_a_site_is_what_its_bundle_says(bench, desk, north):
    row = desk.ask("AddSite", request(bundle(north)))
    assert (row.name, row.fleet, row.standing, row.link) == ("north", "north", "trusted", "never")
    assert (row.bundle, row.by) == (bundle(north), "operator.anna")
    reply = desk.ask("ListSites", pb.ListRequest())
    assert (reply.fleet, [s.name for s in reply.sites]) == ("plant", ["north"])
    (told,) = bench.events("site-pinned")
    assert told["members"]["keys"] == sorted(pinned(north).keys)


def test_the_words_that_approvers_read_name_fleet_place_and_keys(desk, north):
    desk.ask("AddSite", request(bundle(north)))
    assert desk.aim is not None
    (key,) = pinned(north).keys
    assert desk.aim.summary == (
        f"trust fleet north at north.example.net:7446 as north, keys {key[:16]}"
    )


def test_our_own_name_is_no_other_site(bench, desk, keys):
    assert refused(desk, "AddSite", request(bundle(keys))).reason is Reason.CONFLICT


def test_one_fleet_is_one_site(desk, north):
    desk.ask("AddSite", request(bundle(north)))
    error = refused(desk, "AddSite", request(bundle(north), "nord"))
    assert (error.reason, error.failures[0].actual) == (Reason.CONFLICT, "north")
    desk.ask("WithdrawSite", pb.SiteRequest(name="north"))
    assert desk.ask("AddSite", request(bundle(north), "nord")).standing == "trusted"


def test_a_pin_does_not_go_back_and_stays_of_its_fleet(bench, desk, north, tmp_path):
    later = pinned(north).sequence + 5
    desk.ask("AddSite", request(edited(north, spiffe_sequence=later)))
    assert refused(desk, "AddSite", request(bundle(north))).reason is Reason.SITE_BUNDLE

    other = bundle_of([forged_root("south")])
    assert refused(desk, "AddSite", request(other)).reason is Reason.CONFLICT
    desk.ask("WithdrawSite", pb.SiteRequest(name="north"))
    assert desk.ask("AddSite", request(bundle(north))).standing == "trusted"


def test_what_is_pinned_now_is_what_approvers_compare_with(bench, desk, north):
    asked = request(bundle(north))
    with bench.store.reading() as tx:
        assert in_force(tx, "site.add", asked) is None
    desk.ask("AddSite", asked)
    with bench.store.reading() as tx:
        assert in_force(tx, "site.add", request(b"")) == asked
    desk.ask("WithdrawSite", pb.SiteRequest(name="north"))
    with bench.store.reading() as tx:
        assert in_force(tx, "site.add", asked) is None


def test_one_that_is_withdrawn_stays_known_as_that(bench, desk, north):
    desk.ask("AddSite", request(bundle(north)))
    row = desk.ask("WithdrawSite", pb.SiteRequest(name="north"))
    assert (row.standing, row.link) == ("withdrawn", "withdrawn")
    assert desk.ask("ListSites", pb.ListRequest()).sites[0].standing == "withdrawn"
    assert bench.events("site-withdrawn")[0]["members"]["fleet"] == "north"
    error = refused(desk, "WithdrawSite", pb.SiteRequest(name="north"))
    assert error.reason is Reason.SITE_WITHDRAWN
    error = refused(desk, "WithdrawSite", pb.SiteRequest(name="south"))
    assert error.reason is Reason.SITE_UNKNOWN


def test_no_more_than_so_many(bench, desk, north):
    from framegate.registry.site import SiteStanding

    with bench.store.writing() as tx:
        for number in range(MAX_SITES):
            tx.sites.put(site(north, name=f"s{number}", standing=SiteStanding.WITHDRAWN))
    assert "at most" in str(refused(desk, "AddSite", request(bundle(north))))


@pytest.mark.parametrize("endpoint", ["", "host", ":1", "h:0", "h:65536", "h h:1", "https://h:1"])
def test_what_is_no_endpoint(endpoint):
    with pytest.raises(Malformed):
        parse_endpoint(endpoint)


@pytest.mark.parametrize("endpoint", ["h:1", "127.0.0.1:7446", "[::1]:7446", "b.plant.net:65535"])
def test_what_is_one(endpoint):
    assert parse_endpoint(endpoint) == endpoint
