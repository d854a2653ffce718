"""Every command, walked from the programs' own declarations, with what people get wrong.

Files that are missing, unreadable, empty, binary, folders, or of another kind; servers that do not
answer; words that nothing knows. None ends in a traceback, none goes on for ever, each says in our
form what was expected, what was seen and what to do. A command that comes new is walked by itself.
"""

import json
import os
import shutil
import socket
import tempfile
import time
import zlib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from support import command_walk
from support.command_walk import leaves, run, run_each, run_here
from support.passed_over import ASKED_FOR_ALL, SERVE, SHARED
from support.paths import ROOT

PROGRAMS = sorted(command_walk.PROGRAMS)
ELSEWHERE = {"framegate-gateway model", "framegate-gateway data"}
"""Their words are framegate-models', which is walked."""
KINDS = ("missing", "binary", "folder", "object", "certificate", "torn")
ALL_KINDS = len(KINDS)
STEPS = 2
"""Of these kinds each file of a command is given so many, others to the next one: code that reads
a kind of file is met by many commands. The whole walk is among `make plants`.
"""


def _files(leaf):
    """The files of a command that are its own."""
    alone = str(leaf) in ASKED_FOR_ALL
    return [p for p in leaf.takes_files() if alone or p.name not in SHARED]


def _open_to_all(folder: Path) -> bool:
    """Whether somebody else may read what lies there: not below a home that is closed."""
    return os.geteuid() != 0 or all(
        f.stat().st_mode & 0o005 == 0o005 for f in (folder, *folder.parents)
    )


def _certificate() -> tuple[bytes, bytes]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "somebody")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=9))
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return private, made.public_bytes(Encoding.PEM)


@pytest.fixture(scope="module")
def things():
    """A folder that anybody may enter, with a file of every kind, and a context of a fleet that
    does not answer.
    """
    folder = Path(tempfile.mkdtemp(prefix="fg-walk-"))
    folder.chmod(0o777)
    key, certificate = _certificate()
    for name, body in (
        ("empty", b""),
        ("binary", bytes(range(256)) * 16),
        ("array", b"[]\n"),
        ("object", b"{}\n"),
        ("toml", b'[section]\nname = "x"\n'),
        ("certificate", certificate),
        ("torn", certificate[: len(certificate) // 2]),
        ("secret", b"nobody reads this\n"),
    ):
        (folder / name).write_bytes(body)
    (folder / "folder").mkdir()
    (folder / "secret").chmod(0)
    dead = socket.socket()
    dead.bind(("127.0.0.1", 0))  # bound and not listening: it refuses, and nobody else takes it
    address = f"127.0.0.1:{dead.getsockname()[1]}"
    context = {
        "join_address": address,
        "fleet_address": address,
        "server_name": "controller.plant.framegate",
        "root": certificate.decode(),
        "operator": "anna",
        "expires_ms": int(time.time() * 1000) + 3_600_000,
        "certificate": certificate.decode(),
        "key": key.decode(),
        "authorities": certificate.decode(),
    }
    (folder / "context.json").write_text(json.dumps(context))
    (folder / "context.json").chmod(0o600)
    yield folder
    dead.close()
    shutil.rmtree(folder)


@pytest.fixture(autouse=True)
def apart(things, monkeypatch):
    """Nothing of the person's who runs the tests is read or written."""
    from framegate_operator import contexts

    for name in [n for n in os.environ if n.startswith("FRAMEGATE")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(things))
    monkeypatch.setenv("FRAMEGATE_CONTEXT", str(things / "context.json"))
    monkeypatch.setattr(contexts, "FOLDER", things / "config")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(things)


def _told(done, said):
    """It ended by itself, in words of ours."""
    assert done.code >= 0, f"{said} did not end by itself ({done.code})\n{done.err}"
    assert "Traceback" not in done.err + done.out, f"{said}\n{done.err}"
    assert done.code not in {97, 98, 99}, f"{said}\n{done.err}"
    if done.code in {1, 2, 3, 4, 5, 7} and "expected  " not in done.err:
        assert done.out.strip(), f"{said} failed with {done.code} and said nothing\n{done.err}"
    for secret in ("StatusCode.", "ipv4:", "_InactiveRpcError", "<class '", "object at 0x"):
        assert secret not in done.err, f"{said} speaks as a program\n{done.err}"


def commands(program, *without):
    """Every command of a program, in order, but for those that are named."""
    return sorted(
        (leaf for leaf in leaves() if leaf.program == program and str(leaf) not in without), key=str
    )


def walked(program, ask, things, **how):
    """(command, how it ended, what was asked) for every command of a program, each asked what `ask`
    has for it: one process goes through them all, so that what they import is imported once.
    """
    rows = [
        (str(leaf), said, argv)
        for leaf in commands(program, *ELSEWHERE, *SERVE)
        for said, argv in ask(leaf, things)
    ]
    ends = run_each(program, [argv for *_, argv in rows], things, **how)
    for (name, said, argv), done in zip(rows, ends, strict=True):
        yield name, done, f"{name} {said}: {argv}"


def every(check, rows):
    """`check` holds of each of `rows`; where it does not, every fault is told at once."""
    told = []
    for row in rows:
        try:
            check(*row)
        except AssertionError as error:
            told.append(f"{row[0]}: {error}")
    assert not told, "\n\n".join(told)


def some_wrong_files(leaf, things):
    """The same walk, a few steps of it."""
    return wrong_files(leaf, things, STEPS)


def wrong_files(leaf, things, most=ALL_KINDS):
    state = {"state": str(things / "state")}
    for number, parameter in enumerate(_files(leaf)):
        first = zlib.crc32(str(leaf).encode()) + number * most
        for at in range(first, first + most):
            kind = KINDS[at % len(KINDS)]
            yield f"with {parameter.name} {kind}", leaf.argv(state, parameter, things / kind)


def unreadable_files(leaf, things):
    state = {"state": str(things / "state")}
    for parameter in _files(leaf):
        yield "unreadable", leaf.argv(state, parameter, things / "secret")


def no_server(leaf, things):
    for path in ("certificate", "missing"):
        values = {p.name: str(things / path) for p in _files(leaf) if p.name not in SHARED}
        yield "without a server", leaf.argv({**values, "state": str(things / "none")})


def _ended_well(_name, done, said):
    _told(done, said)


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_command_with_files_that_are_not_what_they_should_be(program, things):
    ends = walked(program, some_wrong_files, things, before=lambda: _put_back(things))
    every(_ended_well, ends)


@pytest.mark.plants
@pytest.mark.parametrize("program", PROGRAMS)
def test_every_command_with_files_of_every_wrong_kind(program, things):
    ends = walked(program, wrong_files, things, before=lambda: _put_back(things))
    every(_ended_well, ends)


def test_a_few_steps_meet_every_kind_of_wrong_file_in_every_large_program(things):
    for program in ("framegate", "framegate-controller"):
        kinds = {
            said.rpartition(" ")[2]
            for leaf in commands(program, *ELSEWHERE, *SERVE)
            for said, _ in some_wrong_files(leaf, things)
        }
        assert kinds == set(KINDS)


def _put_back(things):
    """Commands write where they are told to: the next one finds the files as they were."""
    for name, body in (("empty", b""), ("array", b"[]\n"), ("object", b"{}\n")):
        path = things / name
        if path.is_dir():
            shutil.rmtree(path)
        path.write_bytes(body)
    for made in ("state", "none"):
        shutil.rmtree(things / made, ignore_errors=True)
    missing = things / "missing"
    if missing.is_dir():
        shutil.rmtree(missing)
    missing.unlink(missing_ok=True)
    folder = things / "folder"
    if folder.is_dir():
        shutil.rmtree(folder)
    folder.unlink(missing_ok=True)
    folder.mkdir()


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_command_with_files_that_may_not_be_read(program, things):
    if not _open_to_all(ROOT):
        pytest.skip("this checkout is open to its owner alone: nobody else can run from it")
    ends = walked(program, unreadable_files, things, as_nobody=True)
    every(_ended_well, ends)


ALONE = {
    "framegate audit rules",
    "framegate broker config",
    "framegate compliance example",
    "framegate context list",
    "framegate goals example",
    "framegate policy init",
    "framegate witness init",
    "framegate-agent support",
    "framegate-agent version",
    "framegate-console support",
    "framegate-controller support",
    "framegate-gateway support",
    "framegate-line support",
    "framegate-segment support",
    "framegate-sim boards",
    "framegate-sim profile",
}
"""What needs nobody's answer and nothing that is there: it may succeed alone."""


def _knows_nothing(name, done, said):
    _told(done, said)
    assert done.code != 0 or name in ALONE, f"{said} is content\n{done.out}{done.err}"
    if name.startswith("framegate ") and done.code == 7:
        assert not done.out.strip(), f"{said} says something before it knows\n{done.out}"


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_command_where_no_server_answers(program, things):
    """Where nothing is there, nothing is known: none says that there is none, or that all is well,
    by an exit code of 0.
    """
    ends = walked(program, no_server, things, before=lambda: _put_back(things))
    every(_knows_nothing, ends)


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_command_with_words_that_it_does_not_know(program, capsys):
    every(_unknown_words, ((leaf, capsys) for leaf in commands(program, *ELSEWHERE)))


def _unknown_words(leaf, capsys):
    done = run_here(leaf.program, [*leaf.words, "--no-such-optoin"], capsys)
    _told(done, str(leaf))
    assert done.code == 2 and "--no-such-optoin" in done.err
    files = {p.name: __file__ for p in leaf.takes_files() if p.required}
    for parameter in leaf.parameters:
        if parameter.name == "output" and "--output" in parameter.opts:
            done = run_here(leaf.program, leaf.argv({"output": "jsno", **files}), capsys)
            _told(done, str(leaf))
            assert done.code == 2 and "jsno" in done.err


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_program_has_its_version_and_short_help(program, capsys):
    shown = run_here(program, ["--version"], capsys)
    assert shown.code == 0 and shown.out.startswith(f"{program} 0.")
    short = run_here(program, ["-h"], capsys).out
    assert short == run_here(program, ["--help"], capsys).out
    assert "Usage" in short


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_help_text_shows_its_brackets(program, capsys):
    every(_brackets, ((leaf, capsys) for leaf in commands(program, *ELSEWHERE)))


def _brackets(leaf, capsys):
    shown = run_here(leaf.program, [*leaf.words, "-h"], capsys)
    assert shown.code == 0
    helps = " ".join(getattr(p, "help", None) or "" for p in leaf.parameters)
    assert shown.out.count("[[") >= helps.count("[[") and "\\[" not in shown.out


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        (["camra", "list"], "camera"),
        (["camera", "lst"], "list"),
        (["camera", "list", "--ouptut", "json"], "--output"),
        (["camera", "list", "-o", "jsn"], "json"),
    ],
)
def test_a_mistyped_word_is_asked_after(typed, meant, capsys):
    done = run_here("framegate", typed, capsys)
    assert done.code == 2 and f"did you mean {meant}" in done.err


def _without_a_letter(word: str, known) -> str:
    """`word` as somebody in a hurry types it, where that is no other word of `known`."""
    at = len(word) // 2
    mistyped = word[:at] + word[at + 1 :]
    return mistyped if mistyped not in known else word[:at] + "q" + word[at:]


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_mistyped_word_is_asked_after_at_every_level(program, capsys):
    levels: dict[tuple[str, ...], set[str]] = {}
    for leaf in commands(program):
        for at, word in enumerate(leaf.words):
            levels.setdefault(leaf.words[:at], set()).add(word)
    for above, words in levels.items():
        meant = max(words, key=lambda w: (len(w), w))
        done = run_here(program, [*above, _without_a_letter(meant, words)], capsys)
        assert done.code == 2 and "did you mean" in done.err and meant in done.err, done.err


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_mistyped_option_is_asked_after(program, capsys):
    every(_mistyped_option, ((leaf, capsys) for leaf in commands(program, *ELSEWHERE)))


def _mistyped_option(leaf, capsys):
    options = {o for p in leaf.parameters for o in p.opts if o.startswith("--") and len(o) > 5}
    if not options:
        return
    meant = max(options, key=lambda o: (len(o), o))
    done = run_here(leaf.program, [*leaf.words, _without_a_letter(meant, options), "x"], capsys)
    assert done.code == 2 and "did you mean" in done.err and meant in done.err, done.err


@pytest.fixture(scope="module")
def taken():
    """A port that somebody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield str(listening.getsockname()[1])


def test_ports_that_are_taken_and_hosts_that_are_none(things, taken):
    (things / "password").write_text("correct horse battery staple\n")
    state = str(things / "founded")
    words = ["init", "--state", state, "--password-file", str(things / "password")]
    assert run("framegate-controller", [*words, "--operator", "anna"], things).code == 0
    serve = ["run", "--state", state]
    for wrong in (
        ["--join-port", taken],
        ["--fleet-port", taken],
        ["--host", "203.0.113.9", "--advertise", "203.0.113.9"],
        ["--host", "no.such.host.invalid", "--advertise", "x"],
    ):
        done = run("framegate-controller", [*serve, *wrong], things)
        _told(done, f"controller {wrong}")
        assert done.code in {2, 7} and "expected  " in done.err, done.err
    link = run("framegate-sim", ["link", "--listen", taken, "--to", "1"], things)
    _told(link, "link")
    assert link.code == 7 and "an address that is free" in link.err
    gateway = ["run", "--agent-socket", str(things / "none"), "--state", str(things / "g")]
    for wrong in (["--port", taken], ["--host", "203.0.113.9"], ["--operator-port", taken]):
        done = run("framegate-gateway", [*gateway, *wrong], things)
        _told(done, f"gateway {wrong}")
        assert done.code in {2, 7} and "expected  " in done.err, done.err


def test_the_walk_is_of_every_program_and_command():
    """What the walk leaves out is named, and is there."""
    known = {str(leaf) for leaf in leaves()}
    assert len(known) > 130 and ELSEWHERE | set(SERVE) <= known
    assert {leaf.program for leaf in leaves()} == set(command_walk.PROGRAMS)
