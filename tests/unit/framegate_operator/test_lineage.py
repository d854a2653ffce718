"""Lineage as OpenLineage."""

import time

import pytest

from framegate.errors import FramegateError
from framegate_operator.lineage import open_lineage


def test_lineage_as_open_lineage():
    side = {
        "id": "x",
        "sha256": "aa",
        "result_id": "r",
        "evidence_sha256": "bb",
        "name": "n",
        "decision_sha256": "cc",
    }
    chain = {
        "id": "0123456789abcdef0123456789abcdef",
        "kind": "verdict",
        "at_ms": time.time_ns() // 1_000_000,
        "training": side,
        "model": side,
        "gateway": side,
        "camera": side,
        "firmware_profile": side,
        "policy": side,
        "golden": side,
        "verdict": {"outcome": "PASS", "sha256": "dd"},
        "frame": {
            "sha256": "ee",
            "session": "00",
            "counter": 1,
            "signed_by_camera": True,
            "part_type": "t",
        },
    }
    event = open_lineage(chain)
    assert (
        event["eventType"] == "COMPLETE"
        and event["run"]["runId"].count("-") == 4
        and len(event["inputs"]) == 7
        and event["outputs"][0]["facets"]["framegate_digest"]["sha256"] == "dd"
    )
    with pytest.raises(FramegateError):
        open_lineage({"kind": "event"})
