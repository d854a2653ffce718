"""The rules as Sigma: YAML that says what the limits say, with names that lead somewhere."""

import pytest
import yaml

from framegate.behaviour.rules import RULES, Limits, RuleName
from framegate.behaviour.sigma import sigma_rules, yaml_of
from framegate.record.events import events
from support.paths import ROOT

DOCUMENTS = [d for each in sigma_rules().values() for d in each]
SPANS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


def test_yaml_says_what_the_documents_say_and_is_what_is_shipped():
    for name, each in sigma_rules().items():
        assert list(yaml.safe_load_all(yaml_of(each))) == each
        shipped = (ROOT / f"monitoring/sigma/{name}.yml").read_text()
        assert list(yaml.safe_load_all(shipped)) == each
    assert set(sigma_rules()) == set(RULES)


def test_names_and_ids_are_each_ones_own_and_references_lead_to_rules():
    names = [d["name"] for d in DOCUMENTS]
    assert len(set(names)) == len(names) == len({d["id"] for d in DOCUMENTS})
    for document in DOCUMENTS:
        for name in document.get("correlation", {}).get("rules", ()):
            assert name in names


def test_selections_are_of_events_that_there_are():
    for document in DOCUMENTS:
        if "detection" in document:
            assert document["detection"]["selection"]["event"] in events()


@pytest.mark.parametrize(
    ("rule", "limits"),
    [
        (RuleName.EXPORTS, Limits().exports),
        (RuleName.DENIALS, (*Limits().denials, Limits().denied_verbs)),
        (RuleName.BREAK_GLASS, (Limits().break_glass,)),
        (RuleName.FREEZE, (Limits().frozen_tries,)),
        (RuleName.FAILURES_THEN_SUCCESS, Limits().failures),
    ],
)
def test_correlations_have_the_limits_of_the_rules(rule, limits):
    found = [
        (c["condition"]["gte"], int(c["timespan"][:-1]) * SPANS[c["timespan"][-1]])
        for c in (d["correlation"] for d in sigma_rules()[rule] if "correlation" in d)
        if c["type"] != "temporal_ordered"
    ]
    assert found == [(limit.least, limit.within_ms) for limit in limits]


def test_failures_come_before_the_sign_in():
    kinds = [
        d["correlation"]["type"]
        for d in sigma_rules()[RuleName.FAILURES_THEN_SUCCESS]
        if "correlation" in d
    ]
    assert kinds.count("temporal_ordered") == len(Limits().failures)
