"""Nothing is done on the server before it is known that what comes of it can be written."""

import pytest
from typer.testing import CliRunner

from framegate_operator import part_commission, part_learning, people, tickets, vault
from framegate_operator.devices import cameras
from framegate_operator.parts import app as parts
from framegate_operator.people import app as operators
from framegate_operator.vault import frames

COMMANDS = {
    "invite": (cameras, ["invite", "cam1", "--profile", "p"], tickets),
    "invite --qr": (cameras, ["invite", "cam1", "--profile", "p", "--qr"], tickets),
    "replace": (cameras, ["replace", "cam1"], tickets),
    "operator add": (operators, ["add", "bo", "--role", "viewer"], people),
    "operator reset-mfa": (operators, ["reset-mfa", "bo"], people),
    "part learn": (parts, ["learn", "pcb"], part_learning),
    "part commission": (parts, ["commission", "pcb"], part_commission),
    "frame export": (frames, ["ab", "--reason", "r", "--to", "x"], vault),
}


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("place", ["none/out", "folder"])
def test_where_out_cannot_be_written_nobody_is_asked(name, place, tmp_path, monkeypatch):
    (tmp_path / "folder").mkdir()
    app, words, module = COMMANDS[name]
    asked = []
    monkeypatch.setattr(module, "load_context", lambda *_: asked.append(1))
    done = CliRunner().invoke(app, [*words, "--out", str(tmp_path / place)])
    assert isinstance(done.exception, OSError) and place in str(done.exception), done.output
    assert not asked


def test_a_ticket_that_cannot_be_written_any_more_is_shown(tmp_path, capsys):
    with pytest.raises(OSError):
        tickets._write(
            "camera.line-1.cam1", "framegate-ticket-1.X", tmp_path / "no" / "t", qr=False
        )
    assert capsys.readouterr().out == "framegate-ticket-1.X\n"
