"""N207: another camera in the place of one that was commissioned."""

import json

import cv2
import numpy as np
import pytest

from framegate.errors import Reason
from framegate.looks.fingerprint import BYTES, Fingerprint
from framegate.looks.kinds import KINDS, Look
from framegate_gateway.inference.answers import BadAnswer, asked, verify_answer
from framegate_gateway.inference.bundle import DEFAULT_BUNDLE, load_bundle
from framegate_gateway.inference.inspection import Withheld
from framegate_simulators.boards.sensor import GreySensor
from framegate_simulators.evasion.shots import ShotPair
from support.forged_networks import Forged, blinded
from support.looks import CAMERA, inspected, row

LOOK = Look.CAMERA_FINGERPRINT
SHAPE = (288, 288)
SCENE = np.full(SHAPE, 220, np.uint8)
for at in range(24, 280, 40):
    cv2.line(SCENE, (at, 10), (at, 270), 20, 9)
for at in range(50, 260, 90):
    cv2.circle(SCENE, (144, at), 15, 20, -1)
OWN, FOREIGN = GreySensor(1, SHAPE), GreySensor(2, SHAPE)
GOLDEN = np.median([OWN.expose(SCENE) for _ in range(9)], axis=0).astype(np.uint8)


def shots(sensor, count):
    draw = np.random.default_rng(3)
    for _ in range(count):
        yield ShotPair(sensor.expose(np.roll(SCENE, draw.integers(-3, 4, 2), (0, 1))), GOLDEN)


@pytest.mark.slow
def test_n207_frames_by_another_sensor_are_withheld():
    commission, line = Forged(blinded), Forged(blinded)
    seen = [commission.see(pair, [], measure=1) for pair in shots(OWN, 128)]
    sensor, own = seen[-1].fingerprint, seen[-1].measured[LOOK]
    rows = [row(LOOK, limit=own / 2, fingerprints={CAMERA: sensor.text})]
    for pair in shots(OWN, 64):
        last = line.see(pair, rows)
    assert last.guarded_by == (LOOK.value,) and not last.suspicions
    # a commission that is on meanwhile lets nobody's window go
    assert LOOK not in line.see(next(shots(OWN, 1)), rows, measure=2).measured
    assert line.see(next(shots(OWN, 1)), rows).measured[LOOK] > own / 2
    with pytest.raises(Withheld) as caught:
        for pair in shots(FOREIGN, 64):
            line.see(pair, rows)
    assert caught.value.reason == Reason.CAMERA_FOREIGN
    # a camera that was not commissioned has nothing to be held against, and its receipts say so
    assert LOOK.value not in line.see(pair, rows, camera="camera.line-1.cam2").guarded_by


def test_n207_a_defect_stays_one_whoever_took_it():
    defects = ({"kind": "open", "score": 0.9, "box": [0, 0, 1, 1]},)
    said = inspected({LOOK: 1.0}, [row(LOOK, limit=600.0)], defects)
    assert said.defects and [s.reason for s in said.suspicions] == [Reason.CAMERA_FOREIGN]
    with pytest.raises(Withheld):
        inspected({LOOK: 1.0}, [row(LOOK, limit=600.0)])
    assert not inspected({LOOK: 601.0}, [row(LOOK, limit=600.0)]).suspicions
    assert KINDS[LOOK].reason == Reason.CAMERA_FOREIGN


@pytest.mark.parametrize("measure", [0, 1])
@pytest.mark.parametrize("said", [Fingerprint(bytes(BYTES)).text, "", None, 7, ["A"], "A" * 4000])
def test_n207_a_fingerprint_nobody_asked_for_ends_the_child(measure, said):
    head = {"id": 1, "kind": "inspect", "width": 64, "height": 64, "measure": measure}
    question = asked(load_bundle(DEFAULT_BUNDLE), head, 1)
    answer = {"id": 1, "golden_taken": True, "golden": 0, "part_percent": None, "looks": {}}
    verify_answer(question, json.loads(json.dumps(answer | {"defects": []})), b"")
    if measure and type(said) is str and len(said) == len(Fingerprint(bytes(BYTES)).text):
        verify_answer(question, answer | {"defects": [], "fingerprint": said}, b"")
        return
    with pytest.raises(BadAnswer):
        verify_answer(question, answer | {"defects": [], "fingerprint": said}, b"")
