"""Folders of policies and their cases."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from framegate.access.policy import SCHEMA, parse_policy
from framegate.errors import FramegateError
from framegate_operator.policies import app
from framegate_operator.policy_cases import run_case
from framegate_operator.policy_files import read_folder
from support.access import policy_files


def folder(tmp_path: Path, texts: dict[str, str]) -> Path:
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def test_folders_of_files(tmp_path):
    assert (
        parse_policy(read_folder(folder(tmp_path, policy_files()))).sha256
        == parse_policy(policy_files()).sha256
    )


@pytest.mark.parametrize("what", ["empty", "large", "binary", "link"])
def test_folders_that_are_no_policy(tmp_path, what):
    if what == "large":
        folder(tmp_path, policy_files(more="//" + "x" * 2_000_000))
    elif what == "binary":
        folder(tmp_path, policy_files())
        (tmp_path / "b.cedar").write_bytes(b"\xff\xfe\x00")
    elif what == "link":
        folder(tmp_path, policy_files())
        (tmp_path / "b.cedar").symlink_to("/etc/hostname")
    with pytest.raises(FramegateError):
        parse_policy(read_folder(tmp_path))


@pytest.mark.parametrize(
    "case",
    [
        {},
        {"given": {}},
        {"given": {"verb": "x"}, "expect": "allow"},
        {"given": {"verb": "device.list"}, "expect": "maybe"},
        {"given": 5, "expect": "allow"},
        {"given": {"device": 7}, "expect": "deny"},
        {"given": {"request": {}}, "expect": "deny"},
    ],
)
def test_cases_that_are_none(case):
    with pytest.raises(FramegateError):
        run_case(parse_policy(policy_files()), case, "x.json case 1")


def test_cases_pass_and_fail():
    policy = parse_policy(policy_files())
    good = run_case(
        policy,
        {
            "name": "n",
            "given": {"verb": "device.list", "roles": ["viewer"]},
            "expect": "allow",
            "by": ["viewers"],
        },
        "x",
    )
    assert good["good"]
    for wrong in ({"expect": "deny"}, {"expect": "allow", "by": ["operators"]}):
        assert not run_case(
            policy,
            {"name": "n", "given": {"verb": "device.list", "roles": ["viewer"]}, **wrong},
            "x",
        )["good"]


def test_a_folder_of_before_is_updated_and_its_rules_stay(tmp_path):
    texts = policy_files(
        more='@id("more") forbid (principal, action == Action::"whoami", resource);'
    )
    gone = [li for li in texts[SCHEMA].splitlines() if not li.startswith('action "device.profile"')]
    before = texts | {SCHEMA: "\n".join(gone) + "\n"}
    before["operators.cedar"] = before["operators.cedar"].replace('"device.profile", ', "")
    folder(tmp_path, before)
    shown = CliRunner().invoke(app, ["validate", str(tmp_path)])
    assert shown.exit_code == 0 and f"framegate policy update {tmp_path}" in shown.stderr
    assert parse_policy(read_folder(tmp_path)).missing == ("device.profile",)
    done = CliRunner().invoke(app, ["update", str(tmp_path)])
    assert done.exit_code == 0 and "added: device.profile" in done.stderr
    after = read_folder(tmp_path)
    assert not parse_policy(after).missing
    assert {n: t for n, t in after.items() if n != SCHEMA} == {
        n: t for n, t in before.items() if n != SCHEMA
    }
    again = CliRunner().invoke(app, ["update", str(tmp_path)])
    assert again.exit_code == 0 and "nothing to add" in again.stderr
    assert read_folder(tmp_path) == after


def test_a_folder_that_is_no_policy_is_not_updated(tmp_path):
    texts = policy_files()
    folder(tmp_path, texts | {SCHEMA: texts[SCHEMA].replace('action "policy.apply"', 'action "x"')})
    before = read_folder(tmp_path)
    assert CliRunner().invoke(app, ["update", str(tmp_path)]).exit_code != 0
    assert read_folder(tmp_path) == before
