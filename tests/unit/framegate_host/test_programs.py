"""What a wheel installs: a plain install is the operator's command line, every other command says
which extra it lacks, and an extra holds what its own command needs.
"""

import ast
import importlib.metadata
import os
import re
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from framegate_host import programs
from framegate_host.programs import CONTROLLER, MODELS, OPERATOR, PROGRAMS, Program

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
FOLDERS = {
    "framegate": ("controller/framegate_operator",),
    "framegate-controller": ("controller/framegate_controller",),
    "framegate-agent": ("agent/framegate_agent",),
    "framegate-gateway": ("controller/framegate_gateway",),
    "framegate-models": ("controller/framegate_models",),
    "framegate-line": ("controller/framegate_line",),
    "framegate-segment": ("controller/framegate_segment",),
    "framegate-console": ("controller/framegate_console",),
}
WITHOUT = {"torch", "atheris"}
"""No extra holds these: everybody installs PyTorch as fits their machine."""
HIDING = """
import sys
hidden = set(sys.argv.pop(1).split(","))
class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in hidden:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Hidden())
from framegate_host import programs
getattr(programs, sys.argv.pop(1)).run()
"""


def norm(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@cache
def distributions(*extras: str) -> frozenset[str]:
    """Every distribution that `pip install framegate[extras]` brings, by the present metadata."""
    wanted, seen = [], set()
    wanted += [Requirement(r) for r in PROJECT["dependencies"]]
    for extra in extras:
        wanted += [Requirement(r) for r in PROJECT["optional-dependencies"][extra]]
    while wanted:
        one = wanted.pop()
        if norm(one.name) == "framegate":
            own = PROJECT["optional-dependencies"]
            wanted += [Requirement(r) for e in one.extras for r in own[e]]
            continue
        key = (norm(one.name), tuple(sorted(one.extras)))
        if key in seen:
            continue
        seen.add(key)
        for text in importlib.metadata.requires(one.name) or []:
            needed = Requirement(text)
            choices = [{"extra": e} for e in (one.extras or {""})]
            if needed.marker is None or any(needed.marker.evaluate(c) for c in choices):
                wanted.append(needed)
    return frozenset(name for name, _ in seen)


ROOTS = ("core", "proto", "agent", "controller", "simulators")


def file_of(module: str) -> Path | None:
    """The file of one of our modules."""
    for root in ROOTS:
        stem = ROOT / root / module.replace(".", "/")
        for file in (stem.with_suffix(".py"), stem / "__init__.py"):
            if file.is_file():
                return file
    return None


@cache
def named_in(file: Path) -> frozenset[str]:
    """Every module that a file imports, anywhere in it."""
    names = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {a.name for a in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names |= {str(node.module), *(f"{node.module}.{a.name}" for a in node.names)}
    return frozenset(names)


def imported(folders: tuple[str, ...]) -> set[str]:
    """Top-level modules of others that any file of these packages needs, by way of whatever of ours
    it imports.
    """
    waiting = [f for folder in folders for f in (ROOT / folder).rglob("*.py")]
    seen, others = set(waiting), set()
    while waiting:
        for name in named_in(waiting.pop()):
            file = file_of(name) if name.startswith("framegate") else None
            if file is not None and file not in seen:
                seen.add(file)
                waiting.append(file)
            elif not name.startswith("framegate"):
                others.add(name.partition(".")[0])
    return others - sys.stdlib_module_names - WITHOUT


def modules_of(distributed: frozenset[str]) -> set[str]:
    """Top-level modules that these distributions bring."""
    by_module = importlib.metadata.packages_distributions()
    return {m for m, ds in by_module.items() if any(norm(d) in distributed for d in ds)}


def absent(*extras: str) -> str:
    """Modules that this environment has and an install with these extras has not."""
    everything = set(importlib.metadata.packages_distributions())
    kept = modules_of(distributions(*extras)) | {"editables", "_distutils_hack", "pip"}
    ours = {m for m in everything if m.startswith(("framegate", "_framegate"))}
    return ",".join(sorted(everything - kept - ours - {"google"}))


def run(variable: str, *argv: str, extras: tuple[str, ...] = ()) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", HIDING, absent(*extras), variable, *argv],
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )


def variable(program: Program) -> str:
    return next(n for n, v in vars(programs).items() if v is program)


def test_every_command_of_the_wheel_goes_this_way():
    assert PROJECT["scripts"] == {
        p.name: f"framegate_host.programs:{variable(p)}.run" for p in PROGRAMS
    }
    assert {p.extra for p in PROGRAMS} - {""} <= set(PROJECT["optional-dependencies"])


def named(some: list[Program]):
    return pytest.mark.parametrize("program", some, ids=lambda p: p.name)


@named([p for p in PROGRAMS if p.name in FOLDERS])
def test_an_extra_holds_what_its_own_command_needs(program: Program):
    extras = (*((program.extra,) if program.extra else ()), *program.ways.values())
    needed = imported(FOLDERS[program.name])
    assert needed - modules_of(distributions(*extras)) == set()


def test_a_plain_install_is_lean():
    assert not distributions() & {"sqlalchemy", "numpy", "onnxruntime", "tpm2-pytss", "paho-mqtt"}


@named([p for p in PROGRAMS if p.extra])
def test_a_command_whose_extra_is_missing_says_which(program: Program):
    # framegate-models shows its help without: what it has is imported when it is used
    done = run(
        variable(program),
        *(["model", "evaluate", "--data", "."] if program is MODELS else ["--help"]),
    )
    assert done.returncode == 7, done.stderr
    assert f"pip install 'framegate[{program.extra}]'" in done.stderr
    assert "Traceback" not in done.stderr and not done.stdout


def test_the_operators_commands_run_on_a_plain_install():
    from framegate_operator.main import _MODULES

    done = run("OPERATOR", "--help")
    assert done.returncode == 0 and "framegate VERB" in done.stdout, done.stderr
    script = HIDING.replace(
        "getattr(programs, sys.argv.pop(1)).run()",
        "from importlib import import_module\n"
        "for m in sys.argv[1:]: import_module(f'framegate_operator.{m}')",
    )
    names = sorted({m for m, _ in _MODULES.values()})
    done = subprocess.run(
        [sys.executable, "-c", script, absent(), *names],
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr


@named([p for p in PROGRAMS if p.extra])
def test_with_its_extra_it_runs(program: Program):
    if program.name == "framegate-sim":
        pytest.skip("its extra is everything, which this environment is")
    done = run(variable(program), "--help", extras=(program.extra,))
    assert done.returncode == 0, done.stderr


def test_ways_of_running_that_need_more_name_their_own_extra():
    assert "framegate[tpm]" in CONTROLLER.advice("tpm2_pytss")
    assert "framegate[pkcs11]" in CONTROLLER.advice("pkcs11")
    assert "framegate[controller]" in CONTROLLER.advice("sqlalchemy")
    assert "'framegate'" in OPERATOR.advice("grpc")


@pytest.mark.parametrize("name", ["framegate_models.gone", "framegate", None])
def test_a_module_of_ours_that_is_missing_is_a_fault_and_not_advice(monkeypatch, name):
    def broken(_module: str):
        raise ModuleNotFoundError("gone", name=name)

    monkeypatch.setattr(programs, "import_to_stay", broken)
    with pytest.raises(ModuleNotFoundError):
        MODELS.run()


def test_ctrl_c_while_a_program_loads_is_no_traceback(tmp_path, monkeypatch):
    (tmp_path / "loads.py").write_text("raise KeyboardInterrupt\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(SystemExit) as ended:
        Program("framegate-x", "loads", "").run()
    assert ended.value.code == 130


HANDSHAKE = """
import os, socket, threading
from framegate_host.programs import Program
def run_app():
    import grpc
    with socket.create_server(("127.0.0.1", 0)) as listening:
        def hang_up():
            peer, _ = listening.accept()
            peer.recv(9)
            peer.sendall(b"HTTP/1.1 400 no\\r\\n\\r\\n")
            peer.close()
        threading.Thread(target=hang_up, daemon=True).start()
        where = f"127.0.0.1:{listening.getsockname()[1]}"
        channel = grpc.secure_channel(where, grpc.ssl_channel_credentials())
        try:
            channel.unary_unary("/x/y")(b"", timeout=20)
        except grpc.RpcError:
            os._exit(0)
    os._exit(1)
"""


@pytest.mark.parametrize("heard", [True, False], ids=["asked for", "else"])
def test_grpc_says_nothing_beside_our_words(tmp_path, heard):
    (tmp_path / "shakes.py").write_text(HANDSHAKE)
    words = "from framegate_host.programs import Program; Program('x', 'shakes', '').run()"
    told = {k: v for k, v in os.environ.items() if k != "GRPC_VERBOSITY"}
    told |= {"PYTHONPATH": str(tmp_path)} | ({"GRPC_VERBOSITY": "INFO"} if heard else {})
    done = subprocess.run(
        [sys.executable, "-c", words], env=told, capture_output=True, timeout=60, check=False
    )
    assert done.returncode == 0
    assert (b"ssl_transport_security" in done.stderr) == heard, done.stderr
