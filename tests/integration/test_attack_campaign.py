"""The campaign against a live controller: nothing untried where the verifier answers for it,
everything refused, sound machines let in.
"""

from framegate_simulators.attack.campaign import THREATS, run_campaign

VERIFIERS = {n for n in THREATS if int(n[1:]) <= 90 or 111 <= int(n[1:]) <= 118}


def test_every_threat_to_the_verifier_is_tried_and_refused():
    rows = run_campaign(lambda row: None)
    controls = [r for r in rows if r["id"] == "control"]
    assert len(controls) == 2 and all(r["refused"] for r in controls), controls
    by_id = {r["id"]: r for r in rows if r["id"] != "control"}
    assert set(by_id) == set(THREATS)
    assert not [n for n in VERIFIERS if by_id[n]["refused"] is None], "untried"
    assert not [r for r in by_id.values() if r["refused"] is False]
    assert {n for n, r in by_id.items() if r["refused"] is None} == {
        n for n, r in by_id.items() if r["observed"] == "untried"
    }
