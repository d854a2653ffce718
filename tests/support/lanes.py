"""How a run over several processes is laid out."""

from xdist.scheduler import LoadScopeScheduling

PLANTS = {
    "test_line_plant.py": "plants 1",
    "test_first_hour.py": "plants 1",
    "test_model_plant.py": "plants 1",
    "test_people_plant.py": "plants 2",
    "test_plant.py": "plants 2",
    "test_ca_plant.py": "plants 2",
}
"""Files that start a plant of many processes, and in which of two lanes: no more than two
plants run side by side.
"""


def lane(file: str) -> str:
    """The lane of a file's tests: they run one after another, in one process."""
    return PLANTS.get(file.rpartition("/")[2], file)


class Lanes(LoadScopeScheduling):
    """A file is one piece of work, for its fixtures' sake, and so is a lane of plants."""

    def _split_scope(self, nodeid: str) -> str:
        return lane(nodeid.partition("::")[0])
