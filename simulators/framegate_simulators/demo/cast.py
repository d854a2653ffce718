"""The people of the demonstration of people, their machines, and what they all do."""

from __future__ import annotations

import json
from pathlib import Path

from framegate_host.console import Terminal
from framegate_host.private_files import write_private
from framegate_simulators.plant.plant import Plant
from framegate_simulators.plant.processes import PlantError
from framegate_simulators.plant.site import Site


class Cast:
    """The people and machines of the story, and what they all do: be refused, ask, be approved."""

    def __init__(self, plant: Plant, console: Terminal) -> None:
        self.plant, self.console = plant, console
        self.cameras: list[Site] = []
        self.gateway: Site
        self.who: dict[str, Path] = {}

    def show(self, text: str) -> None:
        """A table of the product, as people see it."""
        self.console.print(
            "\n".join(f"   {line}" for line in text.rstrip().splitlines()),
            markup=False,
            soft_wrap=True,
        )

    def added_by_two(self, name: str, role: str, by: str = "anna", approver: str = "sara") -> Path:
        """Where decisions take two: asked, approved, done."""
        p = self.plant
        asker = p.context if by == "anna" else self.who[by]
        if by == "anna" and not any(
            r == "admin"
            for r in json.loads(p.framegate("whoami", "-o", "json", who=asker).stdout)["roles"]
        ):
            asked = json.loads(
                p.framegate(
                    "access",
                    "request",
                    "--role",
                    "admin",
                    "--for",
                    "30m",
                    "--reason",
                    "people join",
                    "-o",
                    "json",
                    who=asker,
                ).stdout
            )
            p.framegate("access", "approve", asked["id"], who=self.who[approver])
        denied = p.framegate("operator", "add", name, "--role", role, check=False, who=asker)
        if denied.returncode == 0:
            raise PlantError(f"{name} was added by one person")
        p.framegate("access", "approve", self.request(denied.stderr), who=self.who[approver])
        return p.add_person(name, role, by=asker)

    def refused(self, *argv: object, who: str) -> str:
        """What the command said that had to be refused, and was."""
        done = self.plant.framegate(*argv, check=False, who=self.who[who])
        if done.returncode == 0:
            raise PlantError(f"{who} was allowed to {' '.join(map(str, argv))}")
        return done.stderr

    def request(self, text: str) -> str:
        """The id of the request that this text tells to approve."""
        tokens = text.replace(";", " ").split()
        if "approve" not in tokens:
            raise PlantError(f"no request in: {text}")
        return tokens[tokens.index("approve") + 1]

    def inspected(self, site: Site) -> int:
        """Frames of a camera that were inspected."""
        outcomes = site.status().get("outcomes", {})
        return int(outcomes.get("PASS", 0)) + int(outcomes.get("DEFECT", 0))

    def uninspected(self, site: Site) -> int:
        """Frames of a camera that were not."""
        return int(site.status().get("outcomes", {}).get("UNINSPECTED", 0))

    def signed_out_context(self, name: str) -> Path:
        """A context of this fleet in which nobody is signed in."""
        body = json.loads(self.plant.context.read_text())
        file = self.plant.folder / f"{name}.json"
        credential = {"operator", "certificate", "key", "expires_ms"}
        bare = {k: v for k, v in body.items() if k not in credential}
        write_private(file, json.dumps(bare).encode())
        return file
