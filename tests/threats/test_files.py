"""N142: files and folders that others could open, if only for a moment."""

import ast
import os
import stat
from pathlib import Path

import pytest
from typer.testing import CliRunner

from framegate.errors import Reason
from framegate_gateway.main import app
from framegate_gateway.server import GatewayProcess
from framegate_gateway.settings import GatewaySettings
from framegate_host import private_files
from framegate_host.file_lock import hold
from framegate_host.private_files import (
    append_private,
    append_public,
    creating_private,
    make_private,
    private_folder,
    public_folder,
    replacing_private,
    state_folder,
    touch_private,
    write_private,
    write_public,
)
from framegate_host.sqlite_file import open_sqlite
from framegate_line.ledger import Ledger
from support.paths import ROOT
from support.refusals import refused


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def open_umask():
    """A process that takes nothing away from the modes it asks for: what is made shows what was
    asked for.
    """
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.fixture
def no_chmod(monkeypatch):
    """A file that is made open and closed afterwards was open in between."""
    for name in ("chmod", "fchmod"):
        monkeypatch.setattr(os, name, lambda *_, **__: pytest.fail("a mode changed afterwards"))
    monkeypatch.setattr(Path, "chmod", lambda *_, **__: pytest.fail("a mode changed afterwards"))


def streamed(path: Path) -> None:
    with replacing_private(path) as out:
        assert [mode(p) for p in path.parent.iterdir()] == [0o600]  # before a byte is in it
        out.write(b"x")


def created(path: Path) -> None:
    with creating_private(path) as out:
        assert mode(path) == 0o600
        out.write(b"x")
    with pytest.raises(FileExistsError), creating_private(path):
        pass


WAYS = {
    "write": lambda path: write_private(path, b"x"),
    "not durable": lambda path: write_private(path, b"x", durable=False),
    "make": lambda path: make_private(path, b"x"),
    "append": lambda path: os.close(append_private(path)),
    "touch": touch_private,
    "hold": lambda path: os.close(hold(path)),
    "stream": streamed,
    "create": created,
}


@pytest.mark.parametrize("way", WAYS)
def test_n142_a_private_file_is_its_owners_alone_from_its_creation(
    tmp_path, open_umask, no_chmod, way
):
    path = tmp_path / "inner" / "file"
    private_folder(path.parent)
    WAYS[way](path)
    assert mode(path) == 0o600 and list(path.parent.iterdir()) == [path]


def test_n142_every_folder_that_is_made_is_private_the_ones_above_too(
    tmp_path, open_umask, no_chmod
):
    inner = private_folder(tmp_path / "a" / "b" / "c")
    assert [mode(p) for p in (inner, inner.parent, inner.parent.parent)] == [0o700] * 3
    assert mode(public_folder(tmp_path / "d" / "e")) == 0o755


def test_n142_what_sqlite_puts_beside_a_database_is_private_too(tmp_path, open_umask, no_chmod):
    connection = open_sqlite(tmp_path / "store.db")
    connection.execute("CREATE TABLE t (x)")
    connection.commit()
    names = {p.name: mode(p) for p in tmp_path.iterdir()}
    assert names == dict.fromkeys(("store.db", "store.db-wal", "store.db-shm"), 0o600)
    connection.close()
    ledger = Ledger(tmp_path / "line" / "ledger.db", "press-7")
    assert {mode(p) for p in (tmp_path / "line").iterdir()} == {0o600}
    ledger.close()


def test_n142_a_registry_and_what_is_beside_it(tmp_path, open_umask, no_chmod):
    from framegate_controller.store.database import open_registry

    store = open_registry(tmp_path / "registry.db")
    with store.writing() as tx:
        tx.settings.put("x", "y")
    assert {mode(p) for p in tmp_path.iterdir()} == {0o600}
    store.close()


def test_n142_keys_of_a_fleet_are_private_to_the_last_file(tmp_path, open_umask, no_chmod):
    from framegate_controller.ca.open import found_fleet

    found_fleet(tmp_path / "state" / "keys", "plant")
    assert mode(tmp_path / "state" / "keys") == 0o700
    assert {mode(p) for p in (tmp_path / "state" / "keys").iterdir()} == {0o600}


@pytest.mark.parametrize("open_to", [0o750, 0o705, 0o711, 0o770, 0o777])
def test_n142_a_state_folder_that_was_open_is_closed_and_says_so(tmp_path, caplog, open_to):
    folder = tmp_path / "state"
    folder.mkdir()
    folder.chmod(open_to)
    assert mode(state_folder(folder)) == 0o700
    assert f"{open_to:o}" in caplog.text
    caplog.clear()
    state_folder(folder)
    assert not caplog.records


def test_n142_a_state_folder_that_is_everybodys_or_anothers_is_refused(tmp_path, monkeypatch):
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o1777)
    assert refused(lambda: state_folder(shared)) == Reason.USAGE
    assert mode(shared) == 0o1777
    others = tmp_path / "others"
    others.mkdir()
    others.chmod(0o755)
    monkeypatch.setattr(private_files.os, "geteuid", lambda: os.getuid() + 1)
    assert refused(lambda: state_folder(others)) == Reason.USAGE
    others.chmod(0o700)  # nor where it is theirs alone: see N223
    assert refused(lambda: state_folder(others)) == Reason.USAGE
    monkeypatch.undo()
    assert state_folder(others) == others


def test_n142_a_database_that_was_open_is_closed_and_says_so(tmp_path, caplog):
    path = tmp_path / "store.db"
    path.touch()
    path.chmod(0o644)
    open_sqlite(path).close()
    assert mode(path) == 0o600 and "644" in caplog.text


def test_n142_a_link_in_the_way_is_replaced_and_never_followed(tmp_path):
    target = tmp_path / "target"
    target.write_text("theirs")
    for name, write in (("a", write_private), ("b", write_public)):
        link = tmp_path / name
        link.symlink_to(target)
        write(link, b"ours")
        assert not link.is_symlink() and target.read_text() == "theirs"


def test_n142_a_stream_that_breaks_off_leaves_what_was_there(tmp_path):
    path = tmp_path / "log"
    write_private(path, b"whole")
    with pytest.raises(RuntimeError), replacing_private(path) as out:
        out.write(b"half")
        raise RuntimeError
    assert path.read_bytes() == b"whole" and list(tmp_path.iterdir()) == [path]


def test_what_everybody_may_read_says_so(tmp_path):
    before = os.umask(0o022)
    try:
        write_public(tmp_path / "a", b"x")
        os.close(append_public(tmp_path / "b"))
    finally:
        os.umask(before)
    assert {mode(tmp_path / n) for n in "ab"} == {0o644}


PACKAGES = ("agent", "controller", "core", "proto")
WRITERS = {
    "write_text",
    "write_bytes",
    "mkdir",
    "makedirs",
    "touch",
    "chmod",
    "fchmod",
    "umask",
    "mkstemp",
    "mkdtemp",
    "NamedTemporaryFile",
    "TemporaryDirectory",
    "imwrite",
    "mkfifo",
    "symlink_to",
    "hardlink_to",
    "FileHandler",
}
OF_MODULES = {
    "shutil": {"copy", "copy2", "copyfile", "copytree", "move"},
    "sqlite3": {"connect"},
}
ELSEWHERE = {
    ("agent/framegate_agent/gateway_socket.py", "umask"): "a socket has no mode of its own",
    ("agent/framegate_agent/gateway_socket.py", "chmod"): "0660, for gateway processes",
    ("controller/framegate_line/ledger.py", "sqlite3.connect"): "touched before; or only read",
    ("controller/framegate_segment/enforcement/kernel.py", "write_text"): "its files in /proc",
    ("core/framegate_host/confinement.py", "write_text"): "the kernel's own files in /proc",
    ("core/framegate_host/sqlite_file.py", "sqlite3.connect"): "touched before",
    ("core/framegate_host/program.py", "os.open"): "/dev/null, for what nobody reads",
    ("core/framegate_host/programs.py", "os.open"): "/dev/null, for descriptors that were closed",
    ("controller/framegate_controller/commands/upgrade.py", "TemporaryDirectory"): "0700",
    ("controller/framegate_controller/store/copying.py", "sqlite3.connect"): "touched before",
    ("controller/framegate_controller/restoration/archive.py", "open"): "into a private file",
    ("controller/framegate_controller/restoration/backup.py", "TemporaryDirectory"): "0700",
    ("controller/framegate_controller/restoration/restore.py", "TemporaryDirectory"): "0700",
    ("controller/framegate_controller/restoration/restore.py", "shutil.move"): "keeps the modes",
    ("agent/framegate_agent/camera/capture.py", "TemporaryDirectory"): "0700 by itself",
    ("controller/framegate_models/quantise.py", "TemporaryDirectory"): "0700 by itself",
}
"""Who makes files beside `private_files`, and why."""


def raw_writers(source: str) -> set[str]:
    """Names of calls in `source` that make a file or a folder, or change a mode."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        called = node.func
        name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
        owner = (
            called.value.id
            if isinstance(called, ast.Attribute) and isinstance(called.value, ast.Name)
            else ""
        )
        text = ast.unparse(node)
        if name in WRITERS:
            names.add(name)
        elif name in OF_MODULES.get(owner, ()):
            names.add(f"{owner}.{name}")
        elif name == "open" and owner == "os":
            if any(flag in text for flag in ("O_CREAT", "O_WRONLY", "O_RDWR")):
                names.add("os.open")
        elif name == "open":
            given = [*node.args, *(k.value for k in node.keywords if k.arg == "mode")]
            modes = [a.value for a in given if isinstance(a, ast.Constant)]
            if any(isinstance(m, str) and set(m) & set("wax") and len(m) < 5 for m in modes):
                names.add("open")
    return names


@pytest.mark.parametrize(
    "source",
    [
        "p.write_text('x')",
        "open('f', 'w')",
        "p.open('ab')",
        "p.open(mode='xb')",
        "os.open(p, os.O_RDWR | os.O_CREAT)",
        "p.mkdir()",
        "os.chmod(p, 0)",
        "sqlite3.connect(p)",
        "shutil.copy(a, b)",
        "cv2.imwrite(p, i)",
    ],
)
def test_n142_the_walk_sees_whoever_makes_a_file(source):
    assert raw_writers(source)


@pytest.mark.parametrize(
    "source",
    [
        "p.open('rb')",
        "p.open('r+b')",
        "open('f')",
        "os.open(p, os.O_RDONLY)",
        "d.copy()",
        "p.read_text()",
    ],
)
def test_the_walk_lets_readers_be(source):
    assert not raw_writers(source)


def test_n142_one_module_makes_files_and_folders_and_whoever_else_does_has_a_reason():
    seen = set()
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            name = str(path.relative_to(ROOT))
            if name != "core/framegate_host/private_files.py":
                seen |= {(name, writer) for writer in raw_writers(path.read_text())}
    assert seen == set(ELSEWHERE)


@pytest.mark.parametrize("what", ["run", "init", "recover"])
def test_n142_a_gateways_folder_is_closed_before_anything_in_it_is_read(
    tmp_path, monkeypatch, what
):
    """Whoever could put golden images, or a vault, into it is shut out first."""
    state, key = tmp_path / "gateway", tmp_path / "recovery.key"
    state.mkdir(mode=0o755)
    seen: list[int] = []

    def looked(*_args, **_options):
        seen.append(mode(state))
        raise LookupError

    for name in ("server.FleetParts", "main.found_keys", "main.recover_keys"):
        monkeypatch.setattr(f"framegate_gateway.{name}", looked)
    if what == "run":
        settings = GatewaySettings(agent_socket=tmp_path / "s", state=state, port=9)
        with pytest.raises(LookupError):
            GatewayProcess(settings)
    else:
        monkeypatch.setattr("framegate_gateway.main.hide_memory", lambda: None)
        if what == "recover":
            key.write_text("x")
        argv = ["vault", what, "--state", state, "--agent-socket", tmp_path / "s"]
        option = "--recovery-key-out" if what == "init" else "--recovery-key"
        CliRunner().invoke(app, [str(a) for a in (*argv, option, key)])
    assert seen == [0o700]
