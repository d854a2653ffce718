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


@pytest.mark.parametrize("raw", [b"\x89PNG\r\n\x1a\n\0\0", b"\xff\xfe\0\xd8", b"\xc3"])
def test_a_file_that_is_no_text_is_named_as_no_ticket(raw, tmp_path):
    file = tmp_path / "source.png"
    file.write_bytes(raw)
    with pytest.raises(Refused) as caught:
        ticket_text(str(file))
    (failure,) = caught.value.failures
    assert failure.reason == Reason.USAGE and "a ticket's file" in failure.expected
    assert failure.actual == f"{file}, which is no text" and "camera invite" in failure.hint


@pytest.mark.parametrize("codec", ["utf-8-sig", "utf-16"])
def test_a_ticket_that_windows_wrote_into_a_file_is_read(codec, tmp_path):
    file = tmp_path / "cam7.ticket"
    file.write_bytes("framegate-ticket-1.x\r\n".encode(codec))
    assert ticket_text(str(file)).strip() == "framegate-ticket-1.x"
