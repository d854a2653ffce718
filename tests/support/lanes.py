"""How a run over several processes is laid out."""

from xdist.scheduler import LoadScopeScheduling
from xdist.workermanage import WorkerController

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

    def remove_node(self, node: WorkerController) -> str | None:
        """Give what a process that is gone has not run to the others; returns the test that ended
        it. That is not run again, for it would end the next one too, and what it had run is no
        work: who waits for a test of it waits for ever.
        """
        left = {f: tests for f, tests in self.assigned_work.pop(node).items() if not _over(tests)}
        ended = next((n for t in left.values() for n, over in t.items() if not over), None)
        if ended is None:
            return None
        left[self._split_scope(ended)][ended] = True
        self.workqueue.update({f: tests for f, tests in left.items() if not _over(tests)})
        for other in self.assigned_work:
            self._reschedule(other)
        return ended

    def _reschedule(self, node: WorkerController) -> None:
        """More work, or the word that there is none: a process begins a test when it knows what
        follows it, and is asked here at a test's end alone. One that took another's place has not
        said yet which tests it sees, and is asked once it has.
        """
        if node not in self.registered_collections:
            return
        super()._reschedule(node)
        while not node.shutting_down and self._pending_of(self.assigned_work[node]) < 2:
            super()._reschedule(node)


def _over(tests: dict[str, bool]) -> bool:
    return all(tests.values())
