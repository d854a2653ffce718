"""Two ways of learning that see the same pictures, and chance."""

import numpy as np

from framegate_models.comparing import CLEARLY, FEWER, Told, clearly_better, share_more

RATE = 0.01


def two(seed: int, shift: float, pictures: int = 300) -> list[Told]:
    """Two ways that see 300 pictures, of so many parts, `shift` better the first."""
    rng = np.random.default_rng(seed)
    of = np.arange(300) % pictures
    sound, damaged = rng.normal(0, 1, 300), rng.normal(2, 1, 300)
    return [
        Told(of, sound + rng.normal(0, 0.5, 300), damaged + more + rng.normal(0, 0.5, 300))
        for more in (shift, 0.0)
    ]


def test_what_is_alike_is_seldom_taken_for_better():
    shares = [share_more(*two(seed, 0.0), RATE, 1) for seed in range(12)]
    assert sum(share >= CLEARLY for share in shares) <= 1
    assert 0.3 < np.mean(shares) < 0.7


def test_what_finds_clearly_more_is_known_to():
    assert all(share_more(*two(seed, 1.5), RATE, 1) >= CLEARLY for seed in range(3))
    assert all(share_more(*two(seed, -1.5), RATE, 1) == 0 for seed in range(3))


def test_a_way_finds_no_more_than_itself():
    one, other = two(1, 0.0)
    assert share_more(one, one, RATE, 1) == 0
    assert share_more(one, other, RATE, 1) == share_more(one, other, RATE, 1), "by its seed"


def test_variants_of_one_picture_are_one_witness():
    """Of three parts nothing is known to a point, however often each is drawn on."""
    rng = np.random.default_rng(3)
    of = np.arange(300) % 3
    sound = rng.normal(0, 0.1, 300)
    first = Told(of, sound, np.where(of == 0, 2.0, np.where(of == 1, -2.0, 0.9)))
    second = Told(of, sound, np.where(of == 0, -2.0, np.where(of == 1, -2.0, 1.0)))
    together = share_more(first, second, RATE, 1)
    apart = share_more(
        *(Told(np.arange(300), t.sound, t.damaged) for t in (first, second)), RATE, 1
    )
    assert apart == 1 and together < CLEARLY


def finds(share: float) -> Told:
    """A way that finds so much of the damage before the first false alarm."""
    damaged = np.where(np.arange(300) < 300 * share, 2.0, 0.0)
    return Told(np.arange(300), np.ones(300), damaged)


def test_a_lead_counts_by_what_the_usual_way_misses():
    """What is drawn is no sample of what comes."""
    usual = finds(0.4)
    enough = 0.4 + FEWER * 0.6
    assert clearly_better(finds(enough + 0.01), usual, RATE, 1.0)
    assert not clearly_better(finds(enough - 0.01), usual, RATE, 1.0)
    assert not clearly_better(finds(1.0), usual, RATE, CLEARLY - 0.01), "it may be chance"
    assert not clearly_better(usual, usual, RATE, 1.0)
