"""A change of posture is an event."""

import dataclasses

from framegate.profile.posture import parse_posture


def test_a_change_is_an_event(bench):
    forge = bench.enrol()
    forge.posture = dataclasses.replace(
        parse_posture(forge.posture), listeners=["tcp 0.0.0.0:1337"]
    ).marshal()
    assert bench.attest(forge, known_log=True).state == "trusted"
    told = [e["detail"] for e in bench.events("posture-changed")]
    assert told == ["new listener tcp 0.0.0.0:1337"]
