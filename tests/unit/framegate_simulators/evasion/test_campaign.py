"""Which frames an attack is tried on."""

from types import SimpleNamespace

import numpy as np

from framegate.looks.kinds import Look
from framegate_simulators.evasion.campaign import Campaign
from framegate_simulators.evasion.product import Seen
from framegate_simulators.evasion.shots import PartSet, ShotPair

BAD_AS_IT_IS = 200


def shot(level: int) -> ShotPair:
    picture = np.full((320, 320), level, np.uint8)
    return ShotPair(picture, picture)


class Product:
    """One whose network calls bad what is `BAD_AS_IT_IS`, or was made brighter by an attack."""

    def see(self, pair, _limits=(), *, frame=None, camera=""):
        shown = pair.frame if frame is None else frame
        attacked = not np.array_equal(shown, pair.frame)
        bad = attacked or int(pair.frame[0, 0]) == BAD_AS_IT_IS
        return Seen(int(bad), measured={Look.RESIDUAL: 1.0})


def test_no_false_alarm_is_counted_of_a_frame_that_is_called_bad_without_an_attack():
    tried = []

    def perturbed(pair, _how):
        tried.append(int(pair.frame[0, 0]))
        return pair.frame + 1

    sound = [shot(100), shot(BAD_AS_IT_IS), shot(120)]
    part = PartSet("drawn", (), sound, sound, ())
    gradient = SimpleNamespace(perturbed=perturbed)
    row = Campaign(Product(), part, gradient, dict)._alarm("false alarm 16", sound)
    assert tried == [100, 120] and (row.tried, row.fell, row.caught) == (2, 2, 0)
