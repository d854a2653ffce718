"""make demo-assess: where a plant stands, out of its own record; a goal that is missed and met
again; a control that breaks, and exactly its claims; evidence that an auditor's own program works
out anew.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final

from framegate_host.console import Terminal
from framegate_simulators.demo.cast import Cast
from framegate_simulators.demo.story import Scene, Story, tell
from framegate_simulators.plant.orderly_end import run_to_its_end
from framegate_simulators.plant.plant import Plant
from framegate_simulators.plant.processes import SIM, PlantError, wait_for

INTERVAL_S: Final = 6.0
PATIENCE_S: Final = 120.0
RATE: Final = 2
BROKEN: Final = "machines-trusted"
CHECK: Final = Path(__file__).parents[3] / "scripts" / "assess_check.py"
GOALS: Final = """version = 1

[[goal]]
name = "drills"
fact = "drills-held"
least = 1
why = "what is not practised does not work"

[[goal]]
name = "masks"
fact = "cameras-masked"
zone = "line-1"
least = 1.0
by = 2030-01-01
why = "somebody decides what each camera shows"
"""
SAID: Final = """version = 1

[[statement]]
about = "ztmm/data.inventory"
says = "initial"
because = "the list of what we keep is in the quality handbook"
expires = {expires}

[[statement]]
about = "hipaa"
says = "not-applicable"
because = "no picture of this plant shows health information"
expires = {expires}
"""


class AssessDemo(Story):
    """The acts in the order in which they are told."""

    def __init__(self, plant: Plant, console: Terminal) -> None:
        super().__init__(plant, console)
        self.cast = Cast(plant, console)
        self.before: dict[str, str] = {}

    def plan(self) -> Sequence[Scene]:
        """See `Story.plan`."""
        return (
            Scene("A plant", "two cameras are inspected; decisions take two people", self.begin),
            Scene(
                "framegate assess",
                "each function has a stage with its facts, or is not assessed; none is blank",
                self.assessed,
            ),
            Scene(
                "What only a person knows",
                "signed, with an end, in the record; it counts where nothing is measured",
                self.said,
            ),
            Scene(
                "A goal",
                "put in force by two; no drill was held: it is missed, and told once",
                self.missed,
            ),
            Scene("A drill", "the goal is met again, and told once", self.met),
            Scene(
                "A control breaks",
                "a camera is quarantined: exactly the claims that rest on it turn to fail",
                self.broken,
            ),
            Scene(
                "Evidence",
                "an auditor's own program comes to the same with nothing but the folder and a root",
                self.evidence,
            ),
            Scene("A folder that was edited", "the auditor's program finds it out", self.edited),
            Scene(
                "framegate review", "a page: what improved, what did not, what to do", self.review
            ),
        )

    def begin(self) -> str:
        """Fleet, machines, people."""
        p = self.plant
        p.found_fleet()
        p.start_controller()
        p.framegate("trust", "add-tpm-ca", p.folder / "maker.pem")
        gateway = p.add_machine("gw1", "gateway")
        p.join(gateway, p.invite(gateway))
        p.write_golden([1, 2])
        p.start_agent(gateway)
        wait_for("the agent's socket", lambda: p.agent_socket(gateway).exists(), PATIENCE_S)
        p.start_gateway(gateway)
        for number in (1, 2):
            site = p.add_machine(f"cam{number}")
            p.join(site, p.invite(site))
            drawn = f"--design {number} --first {number * 1000} --rate {RATE}"
            p.start_agent(site, "--source", f"exec:{SIM} camera {drawn}")
            self.cast.cameras.append(site)
        cameras = self.cast.cameras
        wait_for("verdicts", lambda: all(self.cast.inspected(c) for c in cameras), PATIENCE_S)
        self.cast.who["sara"] = p.add_person("sara", "security")
        self.cast.who["sven"] = self.cast.added_by_two("sven", "security")
        wait_for("a report of frames", self._reported, PATIENCE_S)
        return "anna, sara and sven; two cameras, a gateway; decisions take two"

    def _reported(self) -> bool:
        rows = self.plant.ask("goals", "facts")
        return any(r["fact"] == "frames-from-trusted" and r["whole"] for r in rows)

    def assessed(self) -> str:
        """Where it stands."""
        text = self.plant.framegate("assess", "devices").stdout
        self.cast.show(text)
        body = self.plant.ask("assess")
        stages = [f["stage"] for f in body["functions"].values()]
        known = [s for s in stages if s is not None]
        if len(stages) != 37 or not 10 <= len(known) < 37:
            raise PlantError(f"{len(known)} of {len(stages)} functions were assessed")
        for name, checked in body["checks"].items():
            if checked["value"] is None and checked["status"] == "pass":
                raise PlantError(f"{name} passes without data")
        return f"{len(known)} of 37 functions have a stage, {stages.count(None)} are not assessed"

    def said(self) -> str:
        """sara says two things."""

        expires = (datetime.now(UTC) + timedelta(days=90)).date()
        file = self._file("said.toml", SAID.format(expires=expires))
        done = self.plant.framegate("compliance", "state", file, who=self.cast.who["sara"])
        body = self.plant.ask("assess")
        stage, by = (body["functions"]["data.inventory"][n] for n in ("stage", "said_by"))
        hipaa = {c["status"] for c in body["claims"]["hipaa"].values()}
        if (stage, by, hipaa) != ("initial", "operator.sara", {"not-applicable"}):
            raise PlantError(f"{stage} by {by}; HIPAA {hipaa}")
        return done.stderr.strip().splitlines()[0]

    def missed(self) -> str:
        """sara asks, sven approves; the controller looks."""
        file = self._file("goals.toml", GOALS)
        argv = ("goals", "set", file)
        request = self.cast.request(self.cast.refused(*argv, who="sara"))
        self.plant.framegate("access", "approve", request, who=self.cast.who["sven"])
        self.plant.framegate(*argv, who=self.cast.who["sara"])
        told = wait_for("a goal that is missed", lambda: self._told("goal-missed"), PATIENCE_S)
        self.cast.show(self.plant.framegate("goals", "show").stdout)
        return str(told[0]["detail"])

    def met(self) -> str:
        """A drill is held."""
        self.plant.framegate("incident", "drill", "cam1", "--for", "1m", "--reason", "demo")
        told = wait_for("the goal to be met", lambda: self._told("goal-met"), PATIENCE_S)
        if len(self._told("goal-missed")) != 1:
            raise PlantError("it was told more than once")
        return str(told[0]["detail"])

    def _told(self, event: str) -> list[dict[str, Any]]:
        rows = self.plant.ask("events", "--limit", "500")
        return [r for r in rows if r["event"] == event]

    def broken(self) -> str:
        """A camera is quarantined."""
        before = wait_for("all machines to be trusted", lambda: self._with("pass"), PATIENCE_S)
        self.plant.framegate("camera", "quarantine", "cam2", "--reason", "demo")
        after = wait_for("the control to fail", lambda: self._with("fail"), PATIENCE_S)
        turned = {
            f"{framework}/{name}"
            for framework, claims in after["claims"].items()
            for name, claim in claims.items()
            if claim["status"] == "fail" and before["claims"][framework][name]["status"] != "fail"
        }
        checks = {
            name
            for name, checked in after["checks"].items()
            if checked["status"] == "fail" and before["checks"][name]["status"] != "fail"
        }
        rest = {
            f"{framework}/{name}"
            for framework, claims in after["claims"].items()
            for name, claim in claims.items()
            if checks & set(claim["checks"])
            and claim["status"] != "not-applicable"
            and before["claims"][framework][name]["status"] != "fail"
        }
        if BROKEN not in checks or turned != rest or not turned:
            raise PlantError(f"{checks}: {turned ^ rest}")
        return f"{', '.join(sorted(checks))} fails, and with it {', '.join(sorted(turned))}"

    def _with(self, status: str) -> dict[str, Any] | None:
        body: dict[str, Any] = self.plant.ask("assess")
        return body if body["checks"][BROKEN]["status"] == status else None

    def evidence(self) -> str:
        """Taken away, and worked out anew."""
        p = self.plant
        folder, root = p.folder / "evidence", p.folder / "auditor-root.pem"
        p.framegate("compliance", "export", "--out", folder)
        root.write_text(json.loads(p.context.read_text())["root"])
        done = p.command(sys.executable, CHECK, folder, "--root", root, check=False)
        if done.returncode:
            raise PlantError(done.stdout + done.stderr)
        return done.stdout.strip().splitlines()[0]

    def edited(self) -> str:
        """Somebody makes a failure a pass."""
        folder = self.plant.folder / "evidence"
        results = json.loads((folder / "results.json").read_text())
        results["checks"]["machines-trusted"]["status"] = "pass"
        (folder / "results.json").chmod(0o600)
        (folder / "results.json").write_text(json.dumps(results))
        done = self.plant.command(sys.executable, CHECK, folder, check=False)
        if done.returncode != 1:
            raise PlantError(f"it was not found out: {done.stdout}")
        return done.stdout.strip()

    def review(self) -> str:
        """The quarter so far."""
        page = self.plant.folder / "review.html"
        self.plant.framegate("review", "--out", page)
        body = self.plant.ask("review")
        if "What improved" not in page.read_text() or not body["to_do"]:
            raise PlantError("a page without what to do")
        return f"{len(body['checks'])} checks, {len(body['to_do'])} of them to do"

    def _file(self, name: str, text: str) -> Path:
        file = self.plant.folder / name
        file.write_text(text)
        return file


def main() -> None:
    """make demo-assess."""
    tell(
        AssessDemo,
        partial(Plant, interval_s=INTERVAL_S),
        name="demo-assess",
        summary="Where a plant stands, and whether it can be shown.",
        simulated=(
            "machines, people's typing and their authenticator apps; TPMs are swtpm; controller,"
            " gateway, agents and commands are the product."
        ),
    )


if __name__ == "__main__":
    run_to_its_end(main)
