"""Drift against what was measured at commissioning."""

from framegate.looks.commission import propose
from framegate.looks.drift import DriftWatch
from framegate.looks.kinds import Look
from support.looks import limit, sound_rows

CAMERA = "camera.line-1.cam1"


def seen(watch, values, limits):
    return [watch.see(CAMERA, "board", limits, one) for one in values]


def test_sound_frames_drift_nowhere():
    watch = DriftWatch()
    assert not any(seen(watch, sound_rows(3000, seed=5), propose(sound_rows()).limits))


def test_one_bad_frame_is_no_drift():
    own = limit(centre=10.0, spread=1.0, limit=60.0)
    rows = [{Look.RESIDUAL: 255.0}] + [{Look.RESIDUAL: 10.0}] * 50
    assert not any(seen(DriftWatch(), rows, [own]))


def test_a_drift_is_told_once_and_again_after_it_was_over():
    own = limit(centre=10.0, spread=1.0, limit=60.0)
    off, on = [{Look.RESIDUAL: 14.0}] * 40, [{Look.RESIDUAL: 10.0}] * 100
    told = [one for one in seen(DriftWatch(), [*off, *on, *off], [own]) if one]
    assert len(told) == 2 and told[0][0].look == Look.RESIDUAL
    assert "14" in told[0][0].words and "10 at commissioning" in told[0][0].words


def test_the_good_side_is_no_drift():
    own = limit(Look.CONTRAST, centre=1.0, spread=0.02, limit=0.9)
    assert not any(seen(DriftWatch(), [{Look.CONTRAST: 1.5}] * 200, [own]))
    (told,) = [one for one in seen(DriftWatch(), [{Look.CONTRAST: 0.95}] * 200, [own]) if one]
    assert told[0].look == Look.CONTRAST


def test_cameras_and_parts_have_sums_of_their_own():
    own, watch = limit(centre=10.0, spread=1.0, limit=60.0), DriftWatch()
    for number in range(30):
        assert not watch.see(f"cam{number}", "a", [own], {Look.RESIDUAL: 60.0})
        assert not watch.see("cam", f"part{number}", [own], {Look.RESIDUAL: 60.0})


def test_memory_is_bounded():
    watch = DriftWatch()
    for number in range(5000):
        watch.see(f"cam{number}", "a", [limit()], {Look.RESIDUAL: 1.0})
    assert len(watch.sums) < 2000


def test_detections_have_no_usual_ground():
    own = limit(Look.GROUNDLESS, centre=50.0, spread=0.001, limit=10.0)
    assert not any(seen(DriftWatch(), [{Look.GROUNDLESS: 12.0}] * 100, [own]))


def test_a_slow_change_is_told_long_before_it_reaches_the_limit():
    limits = propose(sound_rows()).limits
    (contrast,) = (one for one in limits if one.look == Look.CONTRAST)
    watch = DriftWatch()
    for number, row in enumerate(sound_rows(1000, seed=9)):
        lost = number * 0.0001
        if watch.see(CAMERA, "board", limits, {Look.CONTRAST: row[Look.CONTRAST] - lost}):
            break
    else:
        raise AssertionError("never told")
    assert lost < (contrast.centre - contrast.limit) / 2
