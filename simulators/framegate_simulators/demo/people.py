"""The demonstration of people, policy and the record: who may do what, on whose word, and what is
left to prove it by.
"""

from __future__ import annotations

import json
import re
import sqlite3
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from rich.console import Console

from framegate_controller.ca.issue import certify
from framegate_controller.ca.template import leaf_template
from framegate_host.private_files import write_private
from framegate_simulators.demo.story import Story, tell
from framegate_simulators.plant.plant import BIN, Plant, PlantError, Site, wait_for

INTERVAL_S: Final = 2.0
RATE: Final = 4
MODEL_RULE: Final = """// On these lines one model inspects: the one that was approved.
@id("only-the-approved-model")
forbid (principal is Device, action == Action::"inspect", resource is Model)
unless { resource.digest == "MODEL" };
"""
LENT_RULE: Final = """// cam2 is lent to the lab until the fair is over.
@id("cam2-is-lent")
forbid (principal is Device, action == Action::"inspect", resource)
when { principal.name == "cam2" };
"""


class PeopleDemo(Story):
    """Runs the acts in order; each returns what was observed, or raises PlantError."""

    def __init__(self, plant: Plant, console: Console) -> None:
        super().__init__(plant, console)
        self.cameras: list[Site] = []
        self.who: dict[str, Path] = {}

    def plan(self) -> Sequence[tuple[str, str, Callable[[], str]]]:
        """The acts in order."""
        return (
            (
                "The first operator",
                (
                    "signed in with password and code; alone, so decisions take one person, and"
                    " everybody is told so"
                ),
                self.found,
            ),
            (
                "Others come, nobody is admin for good",
                (
                    "an engineer, two of security and an auditor set their own factors; decisions"
                    " take two"
                ),
                self.people,
            ),
            (
                "Wrong factors",
                (
                    "a wrong password, a used code: the same answer; whoever guesses waits, and"
                    " nobody else"
                ),
                self.guesses,
            ),
            (
                "Roles",
                (
                    "an engineer may not export a frame, an auditor may not touch a camera; both"
                    " are told what they lack"
                ),
                self.roles,
            ),
            (
                "An engineer learns a profile and signs it, a second person approves",
                "an import by one waits; what was approved comes in, what was swapped does not",
                self.profile,
            ),
            (
                "A quarantine is lifted by two",
                (
                    "sara alone cannot; after sven's word it is lifted once, and the next time it"
                    " takes two again"
                ),
                self.lift,
            ),
            (
                "Admin for a minute",
                (
                    "erik asks, sara approves, he adds a person with her word; nobody has to take"
                    " the role away again"
                ),
                self.elevation,
            ),
            (
                "A policy as code",
                (
                    "tested, simulated on what was decided, mended, applied by two; gateways decide"
                    " by it at once"
                ),
                self.policy,
            ),
            (
                "An intruder with a device's certificate",
                (
                    "a camera's key opens no operator's call; a made-up operator certificate opens"
                    " nothing without a session"
                ),
                self.intruder,
            ),
            (
                "The sealed credential",
                "opens once, for an hour, and everybody is told until somebody has looked into it",
                self.break_glass,
            ),
            (
                "Somebody leaves",
                "disabled: his session ends in the same breath, and his approvals count no more",
                self.leaves,
            ),
            (
                "The record",
                (
                    "exported, verified with nothing but the file and the root; who, from where, on"
                    " whose word, why"
                ),
                self.record,
            ),
            (
                "An edited log",
                (
                    "found at the very entry, in the export as in the store; the controller does"
                    " not start on a cut one"
                ),
                self.edited,
            ),
        )

    def found(self) -> str:
        """Init, sign-in, machines."""
        p = self.plant
        p.found_fleet()
        p.start_controller()
        p.framegate("trust", "add-tpm-ca", p.folder / "maker.pem")
        self.gateway = p.add_machine("gw1", "gateway")
        p.join(self.gateway, p.invite(self.gateway))
        p.write_golden([1, 2])
        p.start_agent(self.gateway)
        p.start_gateway(self.gateway)
        for n in (1, 2):
            site = p.add_machine(f"cam{n}")
            p.join(site, p.invite(site))
            p.start_agent(
                site,
                "--source",
                f"exec:{BIN}/framegate-sim camera --design {n} --first {n * 1000} --rate {RATE}",
            )
            self.cameras.append(site)
        wait_for(
            "verdicts of both cameras", lambda: all(self._inspected(c) for c in self.cameras), 40
        )
        me = p.ask("whoami")
        if "admin" not in me["roles"] or me["quorum"] != 1:
            raise PlantError(f"the founder is admin until a second person comes: {me}")
        return (
            f"anna: {', '.join(me['roles'])}; {me['notices'][0][:60]}…; two cameras are inspected"
        )

    def people(self) -> str:
        """Four people enrol themselves."""
        p = self.plant
        for name, role in (
            ("sara", "security"),
            ("erik", "engineer"),
            ("sven", "security"),
            ("aude", "auditor"),
        ):
            if name == "sara":
                self.who[name] = p.add_person(name, role)
                continue
            self.who[name] = self._added_by_two(name, role)
        rows = p.ask("operator", "list")
        anna = next(r for r in rows["operators"] if r["name"] == "anna")
        if rows["quorum"] != 2 or any("admin" in r for r in anna["roles"]):
            raise PlantError(f"set-up did not end: {rows}")
        self.show(p.framegate("operator", "list").stdout)
        return "five people, quorum 2, standing admins: none"

    def guesses(self) -> str:
        """Somebody guesses at sara's password; sara goes on."""
        p = self.plant
        wrong = p.folder / "wrong"
        wrong.write_text("not her password at all\n")
        said = set()
        for _ in range(5):
            done = p.command(
                "framegate",
                "login",
                "sara",
                "--context",
                self._copy("guesser"),
                "--password-file",
                wrong,
                "--code",
                "000000",
                check=False,
            )
            said.add(done.stderr.splitlines()[0] if done.stderr else "")
        locked = p.command(
            "framegate",
            "login",
            "sara",
            "--context",
            self._copy("guesser"),
            "--password-file",
            wrong,
            "--code",
            "000000",
            check=False,
        )
        if len(said) != 1 or "locked-out" not in locked.stderr:
            raise PlantError(f"{said}; {locked.stderr}")
        if p.framegate("whoami", who=self.who["sara"]).returncode:
            raise PlantError("sara was shut out by somebody else's guessing")
        return f"five times '{said.pop()[:40]}', then 'locked-out'; sara's own session goes on"

    def roles(self) -> str:
        """What each lacks."""
        aude = self._refused("camera", "quarantine", "cam1", "--reason", "x", who="aude")
        can = json.loads(
            self.plant.framegate(
                "auth",
                "can-i",
                "frame.export",
                "line-1",
                "-o",
                "json",
                check=False,
                who=self.who["erik"],
            ).stdout
        )
        if can["allow"] or "denied-by-policy" not in aude:
            raise PlantError(f"{can}, {aude}")
        self.show("\n".join(self.plant.framegate("auth", "table").stdout.splitlines()[:14]))
        return (
            "erik, frame.export: no"
            f" ({can['failures'][0]['actual'][:60] if can.get('failures') else 'no permit'}); aude,"
            f" quarantine: {aude.split()[0]}"
        )

    def profile(self) -> str:
        """Learn, sign, ask, swap, approve, import."""
        p = self.plant
        new, key = p.folder / "new.toml", p.folder / "erik.pem"
        erik = self.who["erik"]
        p.framegate(
            "profile",
            "learn",
            "--from",
            "cam1",
            "--name",
            "simulated-camera",
            "--version",
            "1.1.0",
            "--revision",
            2,
            "--out",
            new,
            who=erik,
        )
        p.command(
            "framegate-controller",
            "profile",
            "signer",
            "erik",
            "--out",
            key,
            "--state",
            p.folder / "controller",
        )
        p.framegate("profile", "sign", new, "--key", key, who=erik)
        signed = p.folder / "new.toml.signed"
        first = self._refused(
            "profile", "import", signed, "--allowlist", p.folder / "new.allowlist", who="erik"
        )
        request = self._request(first)
        own = self._refused("access", "approve", request, who="erik")
        p.framegate(
            "access",
            "approve",
            request,
            "--reason",
            "compared with the maker's notes",
            who=self.who["sara"],
        )
        other = p.folder / "swapped.toml"
        other.write_text(new.read_text().replace('version = "1.1.0"', 'version = "1.1.1"'))
        p.framegate("profile", "sign", other, "--key", key, who=erik)
        swapped = self._refused(
            "profile",
            "import",
            p.folder / "swapped.toml.signed",
            "--allowlist",
            p.folder / "new.allowlist",
            who="erik",
        )
        p.framegate(
            "profile", "import", signed, "--allowlist", p.folder / "new.allowlist", who=erik
        )
        kept = next(
            r
            for r in p.ask("profile", "list")
            if r["name"] == "simulated-camera" and r["revision"] == 2
        )
        if "approval-needed" not in swapped or "denied" not in own or not kept["in_force"]:
            raise PlantError(f"{swapped}; {own}; {kept}")
        return (
            f"import waited for {request}; erik approving himself: refused; sara approved; a"
            f" swapped file: {swapped.split()[0]}; revision 2 by {kept['signer']} in force"
        )

    def lift(self) -> str:
        """Quarantine is one person's, lifting it takes two."""
        p = self.plant
        p.framegate(
            "camera", "quarantine", "cam1", "--reason", "lens was swapped", who=self.who["erik"]
        )
        alone = self._refused("camera", "release", "cam1", "--reason", "lens is ours", who="sara")
        request = self._request(alone)
        p.framegate(
            "access", "approve", request, "--reason", "saw the delivery note", who=self.who["sven"]
        )
        p.framegate("camera", "release", "cam1", "--reason", "lens is ours", who=self.who["sara"])
        wait_for("cam1 to prove itself", lambda: p.state_of(self.cameras[0]) == "trusted", 20)
        p.framegate("camera", "quarantine", "cam1", "--reason", "again", who=self.who["erik"])
        again = self._refused("camera", "release", "cam1", "--reason", "lens is ours", who="sara")
        second = self._request(again)
        if second == request:
            raise PlantError("an approval counted twice")
        p.framegate("access", "approve", second, who=self.who["sven"])
        p.framegate("camera", "release", "cam1", "--reason", "lens is ours", who=self.who["sara"])
        wait_for("cam1 to prove itself", lambda: p.state_of(self.cameras[0]) == "trusted", 20)
        return (
            f"sara alone: {alone.split()[0]}; with sven's word lifted; the second time a new"
            f" request ({second}) was needed"
        )

    def elevation(self) -> str:
        """A role for a while."""
        p = self.plant
        asked = json.loads(
            p.framegate(
                "access",
                "request",
                "--role",
                "admin",
                "--for",
                "1m",
                "--reason",
                "a new auditor starts",
                "-o",
                "json",
                who=self.who["erik"],
            ).stdout
        )
        p.framegate("access", "approve", asked["id"], who=self.who["sara"])
        self.who["otto"] = self._added_by_two("otto", "viewer", by="erik", word="sara")
        held = json.loads(p.framegate("whoami", "-o", "json", who=self.who["erik"]).stdout)
        if not any(e["role"] == "admin" for e in held["elevations"]):
            raise PlantError(f"erik holds no admin role: {held}")
        return f"admin for erik by request {asked['id']} for a minute, otto added with sara's word"

    def policy(self) -> str:
        """Pull, change, test, simulate, mend, apply with two."""
        p, sara = self.plant, self.who["sara"]
        folder = p.folder / "policy"
        p.framegate("policy", "pull", "--out", folder, who=sara)
        (model,) = set(
            re.findall(r"\b[0-9a-f]{64}\b", p.command("framegate-gateway", "model", "show").stdout)
        )
        rule = folder / "model.cedar"
        rule.write_text(
            MODEL_RULE.replace("MODEL", model[:-1] + ("0" if model[-1] != "0" else "1"))
        )  # mistyped
        (folder / "tests").mkdir(exist_ok=True)
        cases = [
            {
                "name": "the approved model",
                "given": {"device": {}, "model": model},
                "expect": "allow",
            },
            {
                "name": "another model",
                "given": {"device": {}, "model": "ab" * 32},
                "expect": "deny",
                "by": ["only-the-approved-model"],
            },
        ]
        (folder / "tests" / "model.json").write_text(json.dumps(cases))
        tested = p.framegate("policy", "test", folder, check=False, who=sara)
        simulated = p.framegate(
            "policy", "simulate", folder, "--since", "1d", check=False, who=sara
        )
        self.show(simulated.stdout)
        rule.write_text(MODEL_RULE.replace("MODEL", model))
        again = json.loads(
            p.framegate(
                "policy", "simulate", folder, "--since", "1d", "-o", "json", check=False, who=sara
            ).stdout
        )
        p.framegate("policy", "test", folder, who=sara)
        if tested.returncode == 0 or simulated.returncode != 6 or again["would_change"]:
            raise PlantError(f"{tested.stdout}; {simulated.stdout}; {again}")
        self._apply(folder, "one model only")
        before = self._uninspected(self.cameras[1])
        (folder / "lent.cedar").write_text(LENT_RULE)
        self._apply(folder, "cam2 is lent")
        began = time.monotonic()
        wait_for(
            "cam2 to be denied by policy",
            lambda: self._uninspected(self.cameras[1]) > before + 2,
            15,
        )
        seen = self._inspected(self.cameras[0])
        wait_for("cam1 to go on", lambda: self._inspected(self.cameras[0]) > seen, 15)
        rows = json.loads(p.framegate("policy", "history", "-o", "json", who=sara).stdout)
        return (
            "a mistyped digest would have stopped every camera: seen before it was applied; of"
            f" {again['decisions']} recorded decisions the mended one changes none; version"
            f" {rows[0]['version']} denies cam2 at its gateway {time.monotonic() - began:.1f} s"
            " after it was applied, cam1 goes on"
        )

    def _apply(self, folder: Path, note: str) -> None:
        p = self.plant
        alone = self._refused("policy", "apply", folder, "--note", note, who="sara")
        p.framegate("access", "approve", self._request(alone), who=self.who["sven"])
        p.framegate("policy", "apply", folder, "--note", note, who=self.who["sara"])
        p.framegate("policy", "pull", "--out", folder, who=self.who["sara"])

    def intruder(self) -> str:
        """A stolen device key and a forged operator."""
        p = self.plant
        context = json.loads(p.context.read_text())
        keys = _fleet_keys(p.folder / "controller" / "keys")
        said = []
        for what, label, purpose in (
            ("a camera's certificate", "device-ca", "DEVICE"),
            ("an operator certificate without a session", "operator-ca", "OPERATOR"),
        ):
            stolen = _credential(
                keys,
                label,
                purpose,
                "camera.line-1.cam1" if label == "device-ca" else "operator.sara",
            )
            file = p.folder / "intruder.json"
            write_private(file, json.dumps({**context, **stolen}).encode())
            for argv in (
                ("camera", "list"),
                ("camera", "retire", "cam1", "--yes"),
                ("audit", "list"),
            ):
                done = p.framegate(*argv, check=False, who=file)
                if done.returncode == 0:
                    raise PlantError(f"{what} did {' '.join(argv)}")
            said.append(f"{what}: {done.stderr.split()[0]}")
        if p.state_of(self.cameras[0]) != "trusted":
            raise PlantError("the intruder changed something")
        return "; ".join(said)

    def break_glass(self) -> str:
        """Seal, use, be told, look into it."""
        p = self.plant
        sealed = p.folder / "sealed"
        made = p.command(
            "framegate-controller",
            "break-glass",
            "--state",
            p.folder / "controller",
            "--out",
            sealed,
            check=False,
        )
        if made.returncode:
            raise PlantError(made.stderr)
        context = self._copy("emergency")
        p.command("framegate", "login", "anna", "--context", context, "--break-glass", sealed)
        again = p.command(
            "framegate",
            "login",
            "anna",
            "--context",
            self._copy("emergency2"),
            "--break-glass",
            sealed,
            check=False,
        )
        told = p.framegate("whoami", who=self.who["otto"])
        roles = json.loads(p.framegate("whoami", "-o", "json", who=context).stdout)["roles"]
        if (
            again.returncode == 0
            or "BREAK-GLASS" not in told.stdout + told.stderr
            or "admin" not in roles
        ):
            raise PlantError(f"{again.stderr} {told.stderr} {roles}")
        waiting = next(r for r in p.ask("access", "list")["requests"] if r["verb"] == "break-glass")
        p.framegate(
            "access", "approve", waiting["id"], "--reason", "it was a drill", who=self.who["sara"]
        )
        quiet = p.framegate("whoami", who=self.who["otto"])
        if "BREAK-GLASS" in quiet.stdout + quiet.stderr:
            raise PlantError("the notice did not end")
        return (
            f"opened once with {', '.join(roles)}; everybody was told until sara looked into it"
            f" ({waiting['id']})"
        )

    def leaves(self) -> str:
        """Disable sven while his approval waits to be used."""
        p = self.plant
        p.framegate("camera", "quarantine", "cam2", "--reason", "odd frames", who=self.who["erik"])
        request = self._request(
            self._refused("camera", "release", "cam2", "--reason", "fine", who="sara")
        )
        p.framegate("access", "approve", request, who=self.who["sven"])
        p.framegate(
            "operator", "disable", "sven", "--reason", "left the company", who=self.who["sara"]
        )
        out = p.framegate("whoami", check=False, who=self.who["sven"])
        alone = self._refused("camera", "release", "cam2", "--reason", "fine", who="sara")
        wait_for(
            "erik's minute as admin to end by itself",
            lambda: (
                "admin"
                not in json.loads(p.framegate("whoami", "-o", "json", who=self.who["erik"]).stdout)[
                    "roles"
                ]
            ),
            70,
            every_s=1,
        )
        if "signed-out" not in out.stderr or "approval-needed" not in alone:
            raise PlantError(f"{out.stderr} {alone}")
        return (
            f"sven: {out.stderr.split()[0]}; the release he had approved: {alone.split()[0]};"
            " erik's minute as admin ended by itself"
        )

    def record(self) -> str:
        """Export and verify offline."""
        p = self.plant
        export = p.folder / "log.jsonl"
        p.framegate("audit", "export", "--out", export, who=self.who["aude"])
        done = p.command(
            "framegate",
            "audit",
            "verify",
            export,
            "--root",
            f"{export}.root.pem",
            "-o",
            "json",
            check=False,
            context=Path("/nowhere"),
        )
        found = json.loads(done.stdout)
        lifted = [
            json.loads(line)
            for line in export.read_text().splitlines()
            if '"device.lift"' in line and '"approved_by"' in line
        ]
        if not found["verified"] or not lifted:
            raise PlantError(f"{done.stdout} {done.stderr}")
        e = lifted[0]
        self.show(
            p.framegate("audit", "list", "--event", "denied", "-n", 5, who=self.who["aude"]).stdout
        )
        return (
            f"{found['entries']} entries and {found['heads']} heads hold; entry {e['index']}:"
            f" {e['verb']} by {e['actor']} from {e['source']}, approved by"
            f" {', '.join(e['approved_by'])}, because '{e['reason']}', by policy"
            f" {', '.join(e['policies'])}"
        )

    def edited(self) -> str:
        """Edit the export, then the store."""
        p = self.plant
        lines = (p.folder / "log.jsonl").read_text().splitlines()
        at = next(
            i for i, line in enumerate(lines) if '"device.lift"' in line and '"approved_by"' in line
        )
        edited = p.folder / "edited.jsonl"
        edited.write_text(
            "\n".join(
                [
                    *lines[:at],
                    lines[at].replace('"approved_by":["sven"]', '"approved_by":["anna"]'),
                    *lines[at + 1 :],
                ]
            )
            + "\n"
        )
        done = p.command(
            "framegate",
            "audit",
            "verify",
            edited,
            "--root",
            p.folder / "log.jsonl.root.pem",
            "-o",
            "json",
            check=False,
        )
        found = json.loads(done.stdout)
        if found["verified"] or found["entry"] != at - 1:
            raise PlantError(f"entry {at - 1} was edited: {found}")
        wait_for(
            "a signed head outside the store", (p.folder / "controller" / "log-heads").exists, 20
        )
        p.stop("controller")
        with sqlite3.connect(p.folder / "controller" / "registry.db") as store:
            store.execute("delete from log_entries where id >= 5")
        started = p.command(
            "framegate-controller",
            "run",
            "--state",
            p.folder / "controller",
            "--join-port",
            0,
            "--fleet-port",
            0,
            check=False,
        )
        if started.returncode == 0 or "audit-log" not in started.stderr:
            raise PlantError(f"a controller started on a cut log: {started.stderr}")
        return (
            f"export: {found['check']} at entry {found['entry']}; cut store: the controller says"
            f" {started.stderr.split()[0]} and does not start"
        )

    def show(self, text: str) -> None:
        """A table of the product, as people see it."""
        self.console.print(
            "\n".join(f"   {line}" for line in text.rstrip().splitlines()),
            markup=False,
            soft_wrap=True,
        )

    def _added_by_two(self, name: str, role: str, by: str = "anna", word: str = "sara") -> Path:
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
            p.framegate("access", "approve", asked["id"], who=self.who[word])
        denied = p.framegate("operator", "add", name, "--role", role, check=False, who=asker)
        if denied.returncode == 0:
            raise PlantError(f"{name} was added by one person")
        p.framegate("access", "approve", self._request(denied.stderr), who=self.who[word])
        return p.add_person(name, role, by=asker)

    def _refused(self, *argv: object, who: str) -> str:
        done = self.plant.framegate(*argv, check=False, who=self.who[who])
        if done.returncode == 0:
            raise PlantError(f"{who} was allowed to {' '.join(map(str, argv))}")
        return done.stderr

    def _request(self, text: str) -> str:
        words = text.replace(";", " ").split()
        if "approve" not in words:
            raise PlantError(f"no request in: {text}")
        return words[words.index("approve") + 1]

    def _inspected(self, site: Site) -> int:
        outcomes = site.status().get("outcomes", {})
        return int(outcomes.get("PASS", 0)) + int(outcomes.get("DEFECT", 0))

    def _uninspected(self, site: Site) -> int:
        return int(site.status().get("outcomes", {}).get("UNINSPECTED", 0))

    def _copy(self, name: str) -> Path:
        """A context of this fleet in which nobody is signed in."""
        body = json.loads(self.plant.context.read_text())
        file = self.plant.folder / f"{name}.json"
        credential = {"operator", "certificate", "key", "expires_ms"}
        bare = {k: v for k, v in body.items() if k not in credential}
        write_private(file, json.dumps(bare).encode())
        return file


def _fleet_keys(folder: Path) -> Any:
    from framegate_controller.ca.open import load_fleet

    return load_fleet(folder)


def _credential(keys: Any, label: str, purpose: str, name: str) -> dict[str, str]:
    """What somebody would hold who got hold of a key of this kind."""
    from datetime import UTC, datetime, timedelta

    from framegate.identity.certificates import Purpose
    from framegate.identity.pem import private_pem

    key = ec.generate_private_key(ec.SECP256R1())
    leaf = certify(
        keys.issuing[label],
        leaf_template(
            Purpose[purpose], name, key.public_key(), timedelta(hours=1), datetime.now(UTC)
        ),
    )
    return {
        "certificate": (leaf.public_bytes(Encoding.PEM) + keys.issuing[label].pem).decode(),
        "key": private_pem(key).decode(),
        "operator": "intruder",
    }


def main() -> None:
    """make demo-people."""
    tell(
        PeopleDemo,
        name="demo-people",
        words="Who may do what, on whose word, and what is left to prove it by.",
        interval_s=INTERVAL_S,
        simulated=(
            "machines, people's typing and their authenticator apps; TPMs are swtpm; controller,"
            " gateway, agents and commands are the product."
        ),
    )


if __name__ == "__main__":
    main()
