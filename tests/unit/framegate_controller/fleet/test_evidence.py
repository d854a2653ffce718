"""Evidence that is kept and verified again."""

import dataclasses

import pytest

from framegate.errors import FramegateError
from framegate.eventlog.quirks import Grants
from framegate.evidence.appraise import appraise
from framegate.evidence.verify import verify_evidence
from framegate_controller.fleet.evidence import stored_expectation
from framegate_controller.fleet.profiles import load_profile


def kept(bench):
    with bench.store.reading() as tx:
        return [
            tx.evidence.get(identifier)
            for identifier, _ in tx.evidence.ids_since(0, device="camera.line-1.cam1")
        ]


def test_evidence_that_says_the_same_is_kept_once(bench):
    forge = bench.enrol()
    for _ in range(5):
        bench.clock.pass_s(60)
        assert bench.attest(forge, known_log=True).state == "trusted"
    rows = kept(bench)
    assert [r.count for r in rows] == [6] and rows[0].last_ms - rows[0].first_ms == 300_000


def test_stored_evidence_verifies_again_to_the_same_result(bench):
    forge = bench.enrol()
    forge.ima.measure(b"/implant", b"x" * 32)
    bench.attest(forge, known_log=True)
    outcomes = []
    with bench.store.reading() as tx:
        loaded = load_profile(tx, bench.keys, "simulated-camera")
        for row in kept(bench):
            evidence, expected = stored_expectation(tx, row, Grants())
            allowlists = bench.verifier.rules.allowlists(tx, [loaded.profile])
            result = appraise(verify_evidence(evidence, expected), loaded.profile, None, allowlists)
            outcomes.append((row.affirming, result.affirming))
            with pytest.raises(FramegateError):
                verify_evidence(evidence, dataclasses.replace(expected, transcript=bytes(32)))
    assert sorted(outcomes) == [(False, False), (True, True)]
