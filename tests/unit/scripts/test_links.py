"""How long a command takes stands in one place: what `make check` finds of it elsewhere."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

PAGE = "docs/guides/own-part.md"
SCRIPT = Path(__file__).parents[3] / "scripts/links.py"


@pytest.fixture(scope="module")
def links() -> ModuleType:
    spec = importlib.util.spec_from_file_location("links", SCRIPT)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("`make test` runs in 4 minutes.", 1),
        ("Short.\n\nIn some\nten minutes `make\nfuzz`\nis done.", 3),
        ("Half an hour: no.\nThen `make demo`, which needs\nabout 20 s.", 2),
        ("<!-- block: unrun, it takes ten minutes -->", 1),
        ("| `make quick` | 50 s |", 1),
    ],
)
def test_a_time_beside_a_command_is_a_fault_with_the_line_of_its_sentence(
    links: ModuleType, text: str, line: int
) -> None:
    (fault,) = links.times(PAGE, text)
    assert fault.startswith(f"{PAGE}:{line}: how long it takes")
    assert not list(links.times("docs/reference/figures.md", text))


@pytest.mark.parametrize(
    "text",
    [
        "A verdict is valid for 30 seconds. `make demo` shows it.",
        "Each holds an hour; to lift it takes a second person.",
        "    make fuzz  # for ten minutes, in a block",
        "`make test` is told by what it starts.",
    ],
)
def test_other_times_and_other_words_are_none(links: ModuleType, text: str) -> None:
    assert not list(links.times("README.md", text))


def test_the_makefiles_help_says_no_time_and_its_recipes_may(links: ModuleType) -> None:
    good = "soak: setup ## For MINUTES (15)\n\t@sleep 1 # 5 minutes\n"
    assert not list(links.times("Makefile", good))
    (fault,) = links.times("Makefile", good + "bench: setup ## Measure, some ten minutes\n")
    assert fault.startswith("Makefile:3: ")
