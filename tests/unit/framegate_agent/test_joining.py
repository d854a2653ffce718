"""`run --ticket`: a machine that has joined does not look at its ticket, another joins first."""

import asyncio
from pathlib import Path
from types import SimpleNamespace

import pytest

from framegate.errors import Failure, Malformed, Reason, Refused
from framegate_agent import joining
from framegate_agent.joining import join_unless_joined
from framegate_agent.settings import AgentSettings, elsewhere
from framegate_agent.state import JOINED


def settings(folder: Path, ticket: Path | None) -> AgentSettings:
    return AgentSettings(state=folder, ticket=ticket)


@pytest.fixture
def asked(monkeypatch):
    """Tickets that the controller was shown; it finds each machine suspect."""
    seen = []

    async def join_fleet(text, *_places):
        seen.append(text)
        state = SimpleNamespace(device="camera.line-1.cam7", state="suspect")
        return SimpleNamespace(state=state, failures=[Failure(Reason.IMA_FILE, "a", "b", "c")])

    monkeypatch.setattr(joining, "join_fleet", join_fleet)
    return seen


def test_without_a_ticket_nobody_is_asked(tmp_path, asked):
    asyncio.run(join_unless_joined(settings(tmp_path, None)))
    assert not asked


def test_a_machine_that_has_joined_does_not_look_at_it(tmp_path, asked):
    (tmp_path / JOINED).touch()
    asyncio.run(join_unless_joined(settings(tmp_path, tmp_path / "gone")))
    assert not asked


def test_a_suspect_machine_goes_on(tmp_path, asked, capsys):
    ticket = tmp_path / "t"
    ticket.write_text("framegate-ticket-1.x")
    asyncio.run(join_unless_joined(settings(tmp_path, ticket)))
    assert asked == ["framegate-ticket-1.x"]
    told = capsys.readouterr().err
    assert "is suspect" in told and "ima-file" in told and "goes on asking" in told


def test_a_ticket_that_is_not_there_ends_it(tmp_path, asked):
    with pytest.raises(Refused) as caught:
        asyncio.run(join_unless_joined(settings(tmp_path, tmp_path / "gone")))
    assert caught.value.reason == Reason.NOT_FOUND and not asked


def test_a_file_that_is_no_ticket_ends_it_before_the_tpm_is_asked(tmp_path):
    ticket = tmp_path / "t"
    ticket.write_text("what somebody else keeps here")
    with pytest.raises(Malformed):
        asyncio.run(join_unless_joined(settings(tmp_path, ticket)))
    assert not (tmp_path / JOINED).exists()


def test_a_folder_is_named_in_a_command_only_where_it_is_not_found_without(tmp_path, monkeypatch):
    monkeypatch.delenv("FRAMEGATE_AGENT_STATE", raising=False)
    assert elsewhere(Path("/var/lib/framegate-agent")) == ""
    assert elsewhere(tmp_path / "a b") == f" --state '{tmp_path}/a b'"
    monkeypatch.setenv("FRAMEGATE_AGENT_STATE", str(tmp_path))
    assert elsewhere(tmp_path) == ""
    assert elsewhere(Path("/var/lib/framegate-agent")) == " --state /var/lib/framegate-agent"
