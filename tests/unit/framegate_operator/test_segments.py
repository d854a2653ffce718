import json

import pytest
from typer.testing import CliRunner

from framegate.access.policy import default_files
from framegate.segment.cases import example_cases
from framegate.segment.policy import FILE
from framegate_operator.segments import app
from support.segments import planned_segment, segment_text


@pytest.fixture
def folder(tmp_path):
    for name, text in {**default_files(), FILE: segment_text()}.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "tests").mkdir()
    return tmp_path


def told(*argv, code=0):
    done = CliRunner().invoke(app, list(map(str, argv)))
    assert done.exit_code == code, done.output
    return done.output


def test_a_segment_is_validated_without_a_controller(folder):
    body = json.loads(told("validate", folder, "-o", "json"))
    assert body["line-1"]["zones"] == 4 and body["line-1"]["conduits"] == 3
    assert "line-1" in told("validate", folder)


def test_what_is_wrong_is_said_with_where(folder):
    (folder / FILE).write_text(segment_text().replace('mode = "enforce"', 'mode = "on"', 1))
    assert "segment-policy-invalid" in told("validate", folder, code=1)
    (folder / FILE).unlink()
    assert FILE in told("validate", folder, code=1)


def test_cases_are_run_and_one_that_fails_is_exit_code_1(folder):
    cases = example_cases(planned_segment())
    (folder / "tests" / "segments.json").write_text(json.dumps(cases))
    assert f"{len(cases)} of {len(cases)} as expected" in told("test", folder)
    cases[0]["expect"] = "drop"
    (folder / "tests" / "segments.json").write_text(json.dumps(cases))
    rows = json.loads(told("test", folder, "-o", "json", code=1))
    assert [r["good"] for r in rows].count(False) == 1


def test_without_cases_an_example_is_shown(folder):
    assert "expect" in told("test", folder, code=1)


@pytest.mark.parametrize(
    ("as_", "word"),
    [
        ("nft", "add table inet framegate"),
        ("kubernetes", '"kind": "NetworkPolicy"'),
        ("cilium", '"kind": "CiliumNetworkPolicy"'),
        ("radius", "Tunnel-Private-Group-Id"),
    ],
)
def test_what_it_becomes_elsewhere(folder, as_, word):
    assert word in told("render", folder, "--as", as_)


def test_a_segment_that_is_not_there(folder):
    assert "line-1" in told("render", folder, "--segment", "line-9", code=2)
