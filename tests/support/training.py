"""A drawn training set."""

import shutil

import pytest

from framegate_simulators.boards.boards import write_boards


@pytest.fixture(scope="module")
def training_set(tmp_path_factory):
    """A drawn training set for all tests of a module."""
    training_folder = tmp_path_factory.mktemp("drawn")
    write_boards(training_folder, range(5_000_000, 5_000_010))
    return training_folder


@pytest.fixture
def training_folder(training_set, tmp_path):
    """A copy of the drawn training set for this test."""
    return shutil.copytree(training_set, tmp_path / "set")
