"""What the agent's commands say is to be done next."""

import shlex

import pytest

from framegate.errors import Reason, Refused
from framegate_agent.joining import ticket_text
from framegate_agent.main import _after_a_look
from framegate_agent.state import JOINED


def test_a_machine_that_has_not_joined_is_looked_at_before_it_runs(tmp_path):
    assert _after_a_look(tmp_path, "folder:x", "").startswith("framegate-agent doctor")


@pytest.mark.parametrize("source", ["device:0", "folder:/my pictures", "exec:sdk --port 3"])
def test_what_was_looked_at_is_what_runs(tmp_path, source):
    (tmp_path / JOINED).touch()
    words = shlex.split(_after_a_look(tmp_path, source, "own part"))
    assert words[:2] == ["framegate-agent", "run"] and words[3] == str(tmp_path)
    assert words[4:] == ["--source", source, "--part-type", "own part"]


@pytest.mark.parametrize("given", ["cam7.ticket", "./none/cam7.ticket", "framegate"])
def test_a_ticket_that_is_no_file_and_no_ticket_is_said_to_be_neither(tmp_path, monkeypatch, given):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Refused) as caught:
        ticket_text(given)
    assert caught.value.reason == Reason.NOT_FOUND and "no file" in str(caught.value)
    (tmp_path / "cam7.ticket").write_text("framegate-ticket-1.x")
    assert (
        ticket_text("cam7.ticket") == "framegate-ticket-1.x" == ticket_text("framegate-ticket-1.x")
    )
