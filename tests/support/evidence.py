"""Evidence as it is after it was verified."""

from framegate.evidence.verify import VerifiedEvidence, verify_evidence


def captured_evidence(bench, monkeypatch) -> VerifiedEvidence:
    """The verified evidence of a camera that joins."""
    import framegate_controller.fleet.judge as module

    seen = []
    monkeypatch.setattr(
        module, "verify_evidence", lambda *a: seen.append(verify_evidence(*a)) or seen[-1]
    )
    bench.enrol()
    return seen[0]
