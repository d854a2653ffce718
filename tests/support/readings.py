"""Records that are made up, as assessments read them."""

import json

from framegate.assessment.reading import Reading


def reading_of(plant) -> Reading:
    """A forged plant's record."""
    reading = Reading("plant")
    for entry in plant.entries():
        reading.read(json.loads(entry))
    return reading
