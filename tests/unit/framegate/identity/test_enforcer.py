"""Names of enforcers, which are no machines."""

import pytest

from framegate.errors import Malformed, Reason
from framegate.identity.enforcer import EnforcerName, enforcer_id, parse_enforcer
from support.refusals import refused


def test_an_id_says_zone_and_name():
    assert enforcer_id("line-1", "fw1") == "enforcer.line-1.fw1"
    assert parse_enforcer("enforcer.line-1.fw1") == EnforcerName("line-1", "fw1")


@pytest.mark.parametrize(
    "value",
    [
        "",
        "enforcer",
        "enforcer.line-1",
        "enforcer..fw1",
        "enforcer.line-1.",
        "enforcer.line-1.fw1.more",
        "camera.line-1.fw1",
        "enforcer.Line.fw1",
    ],
)
def test_ids_that_are_none_are_refused(value):
    assert refused(lambda: parse_enforcer(value), Malformed) == Reason.USAGE


@pytest.mark.parametrize(("zone", "name"), [("", "fw1"), ("line-1", "a.b"), ("z" * 31, "n" * 31)])
def test_names_that_fit_no_certificate_are_refused(zone, name):
    assert refused(lambda: enforcer_id(zone, name), Malformed) == Reason.USAGE
