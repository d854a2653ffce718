"""Commands as a person types them: help, wrong words, missing files, exit codes, what goes to
which stream.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from framegate_operator import contexts
from framegate_operator.main import Verbs
from support import command_walk

BIN = Path(sys.executable).parent
BARE = {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent"}


def start(*argv: object) -> subprocess.CompletedProcess[str]:
    """A command by its entry point, in an interpreter of its own."""
    return subprocess.run(
        [str(BIN / argv[0]), *map(str, argv[1:])],
        capture_output=True,
        text=True,
        timeout=60,
        env=BARE,
        check=False,
    )


def run(program: str, *argv: object, **env: str) -> command_walk.Ended:
    """A command in a process that is forked off, which has nothing to import any more."""

    def alone() -> None:
        os.environ.clear()
        os.environ.update(BARE, **env)
        contexts.FOLDER = Path(BARE["HOME"])

    with tempfile.TemporaryDirectory(prefix="fg-") as folder:
        return command_walk.run_each(program, [[*map(str, argv)]], Path(folder), before=alone)[0]


@pytest.mark.parametrize(
    "program",
    sorted(command_walk.PROGRAMS),
)
def test_help_and_unknown_words(program):
    shown = start(program, "--help")
    assert shown.returncode == 0 and "Usage" in shown.stdout and "Traceback" not in shown.stderr
    wrong = start(program, "no-such-verb")
    assert wrong.returncode == 2 and "no-such-verb" in wrong.stderr


def test_help_fits_a_screen_and_names_every_verb():
    lines = start("framegate", "--help").stdout.splitlines()
    assert len(lines) <= 24 and max(map(len, lines)) <= 80
    words = set("\n".join(lines).split())
    assert set(Verbs.MODULES) - words == {"whoami"}, "which login's page has"


@pytest.mark.parametrize(
    "argv",
    [
        ("camera", "list"),
        ("fleet",),
        ("verdict", "list"),
        ("trust", "list"),
        ("camera", "why", "x"),
        ("events",),
    ],
)
def test_without_a_context_every_read_says_what_to_do(argv):
    done = run("framegate", *argv)
    assert done.code == 7 and "FRAMEGATE_CONTEXT" in done.err and done.out == ""


def test_context_that_others_can_read_or_that_is_damaged(tmp_path):
    file = tmp_path / "c.json"
    file.write_text("{}")
    file.chmod(0o600)
    assert run("framegate", "fleet", "--context", file).code == 2
    members = dict.fromkeys(
        (
            "join_address",
            "fleet_address",
            "server_name",
            "root",
            "certificate",
            "key",
            "authorities",
        ),
        "x",
    )
    file.write_text(json.dumps(members))
    file.chmod(0o644)
    done = run("framegate", "fleet", "--context", file)
    assert done.code == 2 and "chmod 600" in done.err


def founded(tmp_path: Path, *extra: object) -> dict:
    (tmp_path / "password").write_text("correct horse battery staple\n")
    argv = [
        "init",
        "--state",
        tmp_path / "c",
        "--operator",
        "anna",
        "--context",
        tmp_path / "op.json",
        "--password-file",
        tmp_path / "password",
        "-o",
        "json",
        *extra,
    ]
    done = run("framegate-controller", *argv)
    assert done.code == 0, done.err
    return json.loads(done.out)


def test_controller_that_is_not_there(tmp_path):
    founding = founded(tmp_path, "--fleet-address", "127.0.0.1:1", "--join-address", "127.0.0.1:1")
    assert (
        founding["totp_uri"].startswith("otpauth://totp/")
        and len(set(founding["recovery_codes"])) == 10
    )
    assert "key" not in json.loads((tmp_path / "op.json").read_text()), "nobody has signed in yet"
    assert (
        run("framegate-controller", "init", "--state", tmp_path / "d", "--operator", "anna").code
        == 2
    ), "no terminal to ask for a password"
    assert not (tmp_path / "d").exists()
    (tmp_path / "short").write_text("short\n")
    assert (
        "12 to"
        in run(
            "framegate-controller",
            "init",
            "--state",
            tmp_path / "d",
            "--operator",
            "anna",
            "--password-file",
            tmp_path / "short",
        ).err
    )
    context = str(tmp_path / "op.json")
    done = run("framegate", "camera", "list", FRAMEGATE_CONTEXT=context)
    assert done.code == 4 and "framegate login" in done.err
    done = run(
        "framegate",
        "login",
        "anna",
        "--password-file",
        tmp_path / "password",
        "--code",
        "123456",
        FRAMEGATE_CONTEXT=context,
    )
    assert done.code == 7 and "running" in done.err and "Traceback" not in done.err
    again = run("framegate-controller", "init", "--state", tmp_path / "c")
    assert again.code == 5 and "root key" in again.err
    bad = tmp_path / "bad.toml"
    bad.write_text("[profile]\n")
    refused = run("framegate-controller", "profile", "add", bad, "--state", tmp_path / "c")
    assert refused.code == 1 and "firmware-profile-invalid" in refused.err


def test_programs_that_have_no_state_yet(tmp_path):
    assert run("framegate-controller", "run", "--state", tmp_path / "none").code == 7
    agent = run(
        "framegate-agent", "run", "--state", tmp_path / "none", "--tcti", "swtpm:path=/nowhere"
    )
    assert agent.code == 7 and "join" in agent.err
    assert run("framegate-agent", "status", "--state", tmp_path / "none").code == 7
    joined = run(
        "framegate-agent",
        "join",
        "framegate-ticket-1.AAAA",
        "--state",
        tmp_path / "none",
        "--tcti",
        "swtpm:path=/nowhere",
    )
    assert joined.code != 0 and "Traceback" not in joined.err
    tpm = run("framegate-agent", "ek", "--tcti", "device:/dev/no-such-tpm")
    assert tpm.code == 7 and "doctor" in tpm.err
    gateway = run(
        "framegate-gateway", "run", "--agent-socket", tmp_path / "x", "--bundle", tmp_path
    )
    assert gateway.code == 7 and "model.onnx" in gateway.err
    listening = run(
        "framegate-controller", "run", "--state", tmp_path / "none", "--host", "0.0.0.0"
    )
    assert listening.code == 2 and "--advertise" in listening.err


@pytest.mark.parametrize("words", [("run",), ("join", "framegate-ticket-1.AAAA")])
def test_a_second_agent_on_one_state_is_refused_before_it_touches_the_tpm(tmp_path, words):
    import base64

    from framegate.wire import Ticket, ticket_text
    from framegate_agent.state import AgentState, StateFile

    if words[0] == "join":
        root = base64.b64encode(b"r").decode()
        ticket = Ticket(
            join_address="127.0.0.1:1",
            fleet_address="127.0.0.1:1",
            server_name="controller.plant.framegate",
            root=base64.b64decode(root),
            code=b"c" * 16,
            issued_at_ms=1,
        )
        words = ("join", ticket_text(ticket))
    file = StateFile(tmp_path)
    file.save(AgentState("127.0.0.1:1", "127.0.0.1:1", "controller.plant.framegate", ""))
    with file.alone():
        done = run("framegate-agent", *words, "--state", tmp_path, "--tcti", "swtpm:path=/nowhere")
    assert done.code == 5 and "another agent runs" in done.err, done.err
    assert "TPM" not in done.err


def test_doctor_as_json(tmp_path):
    done = run(
        "framegate-agent",
        "doctor",
        "--state",
        tmp_path,
        "--tcti",
        "device:/dev/no-such-tpm",
        "-o",
        "json",
    )
    body = json.loads(done.out)
    assert (
        done.code == 1
        and all({"check", "good", "seen", "fix"} == set(f) for f in body)
        and all(f["fix"] for f in body if not f["good"])
    )


def test_replay_speaks_words_on_stderr_and_data_on_stdout(tmp_path):
    from framegate_simulators.machine.boot import Firmware, boot_log, measurements

    (tmp_path / "log").write_bytes(boot_log(measurements(Firmware("x"))))
    done = run("framegate", "evidence", "replay", tmp_path / "log")
    assert (
        done.code == 0
        and "replayed sha256" in done.err
        and done.out.count("\n") >= 8
        and "\x1b" not in done.out
    )
    (tmp_path / "e.json").write_text(json.dumps({"pcrs": {"sha256": {"4": "00" * 32}}}))
    differs = run(
        "framegate", "evidence", "replay", tmp_path / "log", "--expected", tmp_path / "e.json"
    )
    assert differs.code == 6 and "DIFFERS" in differs.out
    own = run("framegate", "evidence", "replay", tmp_path / "log", "-o", "json")
    (tmp_path / "own.json").write_text(own.out)
    same = run(
        "framegate", "evidence", "replay", tmp_path / "log", "--expected", tmp_path / "own.json"
    )
    assert same.code == 0 and "DIFFERS" not in same.out
    (tmp_path / "own.json").write_text('{"bank": "sha256", "pcrs": 7}')
    bad = run(
        "framegate", "evidence", "replay", tmp_path / "log", "--expected", tmp_path / "own.json"
    )
    assert bad.code and "PCR values as" in bad.err and "Error" not in bad.err
    assert run("framegate", "evidence", "replay", tmp_path / "none").code == 2
    assert run("framegate", "evidence", "replay", tmp_path / "log", "--bank", "md5").code == 2


def test_boards_command(tmp_path):
    done = run("framegate-sim", "boards", "--out", tmp_path, "--count", "2", "--defects", "3")
    assert done.code == 0 and len(list(tmp_path.glob("*_test.jpg"))) == 2
    line = (tmp_path / "00000000.txt").read_text().split("\n")[0].split()
    assert len(line) == 5 and 1 <= int(line[4]) <= 6


def test_model_command_names_the_digest():
    done = run("framegate-models", "model", "show")
    assert done.code == 0 and "digest " in done.out and "pin-hole" in done.out


def test_gateway_hands_its_model_commands_over_as_they_were_typed(tmp_path):
    (tmp_path / "framegate_models").mkdir()  # no package of the working directory takes its place
    (tmp_path / "framegate_models" / "__main__.py").write_text("raise SystemExit(99)")
    gateway = str(BIN / "framegate-gateway")

    def typed(*argv):
        return subprocess.run(
            [gateway, *argv], capture_output=True, text=True, timeout=60, cwd=tmp_path, check=False
        )

    assert json.loads(typed("model", "show", "-o", "json").stdout)["name"]
    assert typed("data", "sign").returncode == 2


def test_n29_hostile_names_cannot_steer_the_terminal():
    from framegate_host.console import safe

    hostile = "a\x1b[2J\x07\r\n[red]b[/]\u202e"
    shown = safe(hostile)
    assert (
        "\x1b" not in shown and "\n" not in shown and "\\[red]" in shown and "\u202e" not in shown
    )


def test_simulated_machine_switches_its_tpm_off_when_it_is_told_to_end():
    import os
    import signal
    import tempfile

    with tempfile.TemporaryDirectory(prefix="fg-") as folder:
        argv = [str(BIN / "framegate-sim"), "machine", f"{folder}/m", "--maker", f"{folder}/maker"]
        process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
        told = json.loads(process.stdout.readline())
        assert Path(told["boot_log"]).exists() and told["tcti"].startswith("swtpm:")
        tpms = [
            int(p.name)
            for p in Path("/proc").iterdir()
            if p.name.isdigit() and f"{folder}/m/state".encode() in _command_line(p)
        ]
        assert len(tpms) == 1
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
        with pytest.raises(ProcessLookupError):
            os.kill(tpms[0], 0)


def _command_line(process: Path) -> bytes:
    try:
        return (process / "cmdline").read_bytes()
    except OSError:
        return b""


LOCAL = {
    "audit behaviour",
    "audit rules",
    "audit show",
    "audit prove",
    "audit export",
    "audit verify",
    "audit witness",
    "auth can-i",
    "broker acl",
    "broker config",
    "compliance example",
    "compliance export",
    "context add",
    "context use",
    "context list",
    "evidence replay",
    "evidence verify",
    "evidence show",
    "goals example",
    "log compare",
    "log export",
    "log key",
    "log prove",
    "log verify",
    "login",
    "logout",
    "policy init",
    "policy pull",
    "policy validate",
    "policy test",
    "policy diff",
    "policy explain",
    "playbook export",
    "playbook simulate",
    "playbook test",
    "policy simulate",
    "profile learn",
    "release verify",
    "profile lint",
    "profile diff",
    "profile explain",
    "profile show",
    "profile sign",
    "profile allowlist",
    "receipt export",
    "receipt verify",
    "replay",
    "result verify",
    "segment diff",
    "segment render",
    "segment test",
    "segment validate",
    "site bundle",
    "siem test",  # it is there to be done: one entry, which every sink gets
    "siem verify",
    "witness init",
    "witness run",
    "witness show",
    "witness watch",
    "model sign",
    "model verify",
    "verdict watch",
    "verdict picture",
    "verdict show",
    "verdict why",
}
"""What writes files of one's own, checks files, or is a session: neither a change of the fleet
nor a view of it.
"""


def test_every_change_can_be_tried_dry_and_every_view_watched():
    import typer

    from framegate_operator.main import app

    def commands(command, path):
        if hasattr(command, "list_commands"):
            for name in command.list_commands(None):
                yield from commands(command.get_command(None, name), [*path, name])
        else:
            yield " ".join(path), {o for p in command.params for o in p.opts}

    options_by_command = dict(commands(typer.main.get_group(app), []))
    assert set(options_by_command) >= LOCAL and len(options_by_command) > 90
    for name, options in options_by_command.items():
        change, view = {"--dry-run", "--wait", "--reason"} <= options, "--watch" in options
        assert (change, view) == ((False, False) if name in LOCAL else (not view, not change)), name
        assert not view or "--output" in options, f"{name} has no -o json"
