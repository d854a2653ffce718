"""The agent's folder: one agent at a time."""

import pytest

from framegate.errors import Reason, Refused
from framegate_agent.state import StateFile


def test_a_second_agent_on_one_state_is_refused_and_told_what_runs(tmp_path):
    with StateFile(tmp_path).alone():
        with pytest.raises(Refused) as caught, StateFile(tmp_path).alone():
            pass
        assert caught.value.reason == Reason.CONFLICT
        assert "another agent" in caught.value.failures[0].actual
        with StateFile(tmp_path / "other").alone():
            pass
    with StateFile(tmp_path).alone():
        pass  # whoever ended has let go


def test_an_agent_that_cannot_write_its_status_is_still_one_that_runs(tmp_path):
    file = StateFile(tmp_path)
    assert not file.held
    with file.alone():
        assert file.held
    assert not file.held
