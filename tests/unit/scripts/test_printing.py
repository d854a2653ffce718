"""What `make check` says of modules that write text past the door that nothing steers through."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parents[3] / "scripts/printing.py"


@pytest.fixture(scope="module")
def printing() -> ModuleType:
    spec = importlib.util.spec_from_file_location("printing", SCRIPT)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


OF_RICH = [
    "from rich.console import Console",
    "from rich.console import Group, Console as C",
    "from rich import print",
    "from rich import print_json",
    "import rich",
    "import rich.console",
    "def f():\n    from rich.console import Console",
    "from rich.live import Live\nLive(table)",
    "from rich.progress import Progress, BarColumn\nProgress(BarColumn())",
]
WRITTEN = [
    "print(name)",
    "def f():\n    print(name, file=sys.stderr)",
    "sys.stdout.write(name)",
    "sys.stderr.write(name)",
    "traceback.print_exc()",
    "typer.echo(name)",
    "typer.confirm(f'retire {name}?')",
    "code = typer.prompt(name)",
    "getpass.getpass(name)",
]
GOOD = [
    "show_text(name)",
    "talk.print(name)",
    "from rich.console import Group",
    "from rich.table import Table",
    "from rich.live import Live\nLive(table, console=data)",
    "from framegate_proto.v1.framegate_pb2 import Progress\nProgress(name)",
    "sys.stdout.buffer.write(frame)",
    "class C:\n    def print(self): ...",
]


@pytest.mark.parametrize("source", OF_RICH + WRITTEN)
@pytest.mark.parametrize("place", ["core/a.py", "agent/a.py", "controller/a.py"])
def test_what_writes_by_itself_is_a_fault(printing, source, place):
    (fault,) = printing.check({place: source})
    assert fault.startswith(f"{place}:{source.count(chr(10)) + 1}: ") and "printing" in fault


@pytest.mark.parametrize("source", OF_RICH)
def test_simulators_have_no_console_of_their_own_either(printing, source):
    assert len(list(printing.check({"simulators/a.py": source}))) == 1


@pytest.mark.parametrize("source", GOOD)
def test_what_goes_by_the_door_is_none(printing, source):
    assert not list(printing.check({"core/a.py": source}))


@pytest.mark.parametrize("source", WRITTEN)
def test_simulators_print_what_their_own_plants_say(printing, source):
    assert not list(printing.check({"simulators/a.py": source}))


def test_the_door_itself_writes(printing):
    assert not list(printing.check({"core/framegate_host/printing.py": WRITTEN[2]}))
    assert all((SCRIPT.parents[1] / path).is_file() for path in printing.DOORS)
