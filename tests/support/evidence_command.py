"""`framegate evidence` in this process."""

import json

from typer.testing import CliRunner

from framegate_operator.main import app


def run_evidence(command: str, *argv: object) -> tuple[int, dict]:
    """The exit status of `framegate evidence COMMAND` and what it printed as JSON."""
    done = CliRunner().invoke(app, ["evidence", command, *map(str, argv), "-o", "json"])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, json.loads(done.stdout) if done.stdout else {}


def reasons(body) -> set[str]:
    """The reasons of what failed, as the command printed them."""
    return {f["reason"] for f in body["failures"]}
