"""A registry whose file somebody takes away, or puts another in place of, under a controller."""

import shutil

import pytest

from framegate.errors import Unavailable
from framegate_controller.store.database import open_registry


@pytest.mark.parametrize("how", ["removed", "replaced", "its folder removed"])
def test_nothing_is_said_to_be_done_in_a_file_that_is_no_longer_there(tmp_path, how):
    folder = tmp_path / "state"
    folder.mkdir()
    path = folder / "registry.db"
    store = open_registry(path)
    with store.writing():
        pass
    if how == "its folder removed":
        shutil.rmtree(folder)
    else:
        kept = path.rename(folder / "kept.db")
        if how == "replaced":
            shutil.copy(kept, path)
    for begin in (store.writing, store.reading):
        with pytest.raises(Unavailable) as caught, begin():
            pytest.fail("nobody would know that it was lost")
        told = caught.value.failures[0]
        assert str(path) in told.expected and "nothing was changed" in told.hint
    store.close()


def test_a_file_that_was_put_back_is_the_same_one(tmp_path):
    path = tmp_path / "registry.db"
    store = open_registry(path)
    kept = path.rename(tmp_path / "kept.db")
    kept.rename(path)
    with store.writing():
        pass
    store.close()
