"""What `make` alone greets with, and that what names its targets names targets."""

import os
import re
import subprocess

import pytest

from support.paths import ROOT

MAKEFILE = (ROOT / "Makefile").read_text("utf-8")
TARGETS = set(re.findall(r"^([a-z][a-z-]*):", MAKEFILE, re.MULTILINE))
HELPED = re.findall(r"^([a-z][a-z-]*):.*? ## ", MAKEFILE, re.MULTILINE)
COLUMNS = 80


@pytest.fixture(scope="module")
def greeting() -> str:
    alone = {"PATH": os.environ["PATH"]}  # not as a part of the make that runs the tests
    ran = subprocess.run(["make"], cwd=ROOT, env=alone, capture_output=True, text=True, check=True)
    return ran.stdout


def test_make_alone_begins_with_what_a_newcomer_needs(greeting):
    begin, _, rest = greeting.partition("All else:")
    assert re.findall(r"^  make (\S+)", begin, re.MULTILINE) == [
        "try",
        "demo",
        "quick",
        "test",
        "docs",
    ]
    assert "docs/tutorial/first-hour.md" in begin and "CONTRIBUTING.md" in begin
    assert "make coverage" in rest


def test_every_target_with_a_help_is_told_once_and_in_full(greeting):
    assert sorted(re.findall(r"^  make (\S+)", greeting, re.MULTILINE)) == sorted(HELPED)
    said = " ".join(greeting.split())
    for words in re.findall(r" ## (.*)$", MAKEFILE, re.MULTILINE):
        assert " ".join(words.split()) in said


def test_a_terminal_of_eighty_columns_is_enough(greeting):
    assert [line for line in greeting.splitlines() if len(line) > COLUMNS] == []


def test_no_target_is_a_file():
    (phony,) = re.findall(r"^\.PHONY: (.*)$", MAKEFILE.replace("\\\n", ""), re.MULTILINE)
    checks = re.search(r"^CHECKS := (.*)$", MAKEFILE, re.MULTILINE)
    assert set(phony.replace("$(CHECKS)", checks[1]).split()) == TARGETS


@pytest.mark.parametrize(
    "path",
    [
        ".ci/run",
        ".github/workflows/check.yml",
        ".github/PULL_REQUEST_TEMPLATE.md",
        ".pre-commit-config.yaml",
        "CONTRIBUTING.md",
        "README.md",
        "SECURITY.md",
    ],
)
def test_targets_that_are_spoken_of_exist(path):
    text = (ROOT / path).read_text("utf-8")
    spoken = set(re.findall(r"(?:`|^    |run: |entry: |exec )make ([a-z][a-z-]*)", text, re.M))
    for matrix in re.findall(r"target: \[(.*?)\]", text):
        spoken |= set(matrix.split(", "))
    assert spoken <= TARGETS
    assert spoken or path == "SECURITY.md"


def test_the_workflow_runs_what_ci_runs():
    workflow = (ROOT / ".github/workflows/check.yml").read_text("utf-8")
    assert "- run: .ci/run" in workflow
    assert (ROOT / ".ci/run").stat().st_mode & 0o100
