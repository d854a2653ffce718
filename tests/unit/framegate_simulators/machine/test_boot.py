"""Images of a simulated boot."""

from framegate_simulators.machine.boot import image


def test_images_are_distinct():
    assert image("a") != image("b")
