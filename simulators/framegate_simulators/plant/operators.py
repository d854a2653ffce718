"""The people of a plant. Every act of theirs goes through the commands that people use."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any, Final

from framegate_host.console import EXIT_DENIED
from framegate_simulators.fixtures.access import totp_now, wait_for_next_code, write_secret
from framegate_simulators.plant.processes import BIN, PlantError

COMMAND_S: Final = 180.0
"""For one of our commands: some seconds, or a minute where ten plants share two cores."""
OPERATOR: Final = "anna"


class Operators:
    """The people of a fleet and the commands they type: contexts, passwords, authenticators."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.context = folder / "operator.json"
        self.authenticators: dict[str, str] = {}
        self.recovery_codes: list[str] = []
        self.signed_in = False

    def sign_in(self, name: str, context: Path | None = None) -> Path:
        """framegate login with the simulated person's password and authenticator; returns their
        context. A code that was used once already is followed by the next, as a person would.
        """
        chosen = context or (self.context if name == OPERATOR else self.folder / f"{name}.json")
        ended = self._login(name, chosen, check=False).returncode
        if ended == EXIT_DENIED:
            wait_for_next_code()
        if ended:
            self._login(name, chosen)
        return chosen

    def _login(
        self, name: str, context: Path, *, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        argv = ("--context", context, "--password-file", self.folder / "password")
        code = totp_now(self.authenticators[name])
        return self.command("framegate", "login", name, *argv, "--code", code, check=check)

    def add_person(self, name: str, *roles: str, by: Path | None = None) -> Path:
        """Another operator, added by whoever has the context `by`, who enrols and signs in; returns
        their context.
        """
        context = self.folder / f"{name}.json"
        given = [w for r in roles for w in ("--role", r)]
        operator = json.loads(
            self.framegate(
                "operator", "add", name, *given, "--out", context, "-o", "json", who=by
            ).stdout
        )
        code, uri = (
            write_secret(self.folder / f"{name}.enrolment", operator["enrolment"]),
            self.folder / f"{name}.totp",
        )
        enrol = ["login", name, "--enrol", "--context", context, "--enrolment-file", code]
        self.command("framegate", *enrol, "--totp-uri-out", uri)
        self.authenticators[name] = uri.read_text().strip()
        self.command(
            "framegate",
            *enrol,
            "--password-file",
            self.folder / "password",
            "--code",
            totp_now(self.authenticators[name]),
        )
        return context

    def framegate(
        self, *argv: object, check: bool = True, who: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        """The operator's command line, as the first operator or as whoever has the context
        `who`.
        """
        return self.command("framegate", *argv, check=check, context=who)

    def ask(self, *argv: object) -> Any:
        """The operator's command line with -o json, parsed; the exit code may be 6."""
        done = self.framegate(*argv, "-o", "json", check=False)
        if done.returncode not in {0, 6}:
            raise PlantError(f"framegate {' '.join(map(str, argv))}: {done.stderr.strip()}")
        return json.loads(done.stdout)

    def command(
        self, program: str, *argv: object, check: bool = True, context: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run one of our commands to its end."""
        environment = {**os.environ, "FRAMEGATE_CONTEXT": str(context or self.context)}
        try:
            done = subprocess.run(
                [str(BIN / program), *map(str, argv)],
                check=False,
                capture_output=True,
                text=True,
                timeout=COMMAND_S,
                env=environment,
            )
        except subprocess.TimeoutExpired as error:
            wanted = f"{program} {' '.join(map(str, argv))}"
            raise PlantError(f"waited {COMMAND_S:g} s for {wanted}") from error
        if check and done.returncode:
            raise PlantError(
                f"{program} {' '.join(map(str, argv))} ended with {done.returncode}:"
                f" {done.stderr.strip()}"
            )
        return done
