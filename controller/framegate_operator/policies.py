"""`framegate policy …`: the access policy as files: pull, change, validate, test, simulate,
apply.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from framegate.access.policy import (
    SCHEMA,
    PolicySet,
    Request,
    default_files,
    parse_policy,
    verify_policy,
)
from framegate.access.questions import device_facts, inspect_request, verb_request
from framegate.access.verbs import FLEET_WIDE, find_verb
from framegate.errors import FramegateError, Malformed, Reason, Refused
from framegate_host.console import EXIT_FAILED, EXIT_UNTRUSTED, safe, show_json, talk
from framegate_operator.connection import load_context, operator_stub
from framegate_operator.contexts import OperatorContext
from framegate_operator.options import Context, Output, read, write
from framegate_operator.output import ago, ago_ms, data, errors, show_table
from framegate_proto.v1 import framegate_pb2 as pb

app = typer.Typer(
    no_args_is_help=True,
    help="The access policy (Cedar): who may do what, and which device may use which model.",
)
Folder = Annotated[Path, typer.Argument(help=f"A folder with {SCHEMA} and .cedar files.")]
MAX_READ = 1024 * 1024
"""A policy folder is a few kilobytes; whoever names another folder hears so at once."""


@app.command("init")
def init(out: Annotated[Path, typer.Option(help="Folder to write.")]) -> None:
    """Write the default policy, to be changed; needs no controller."""
    with errors():
        _write(out, default_files())
        example = out / "tests"
        example.mkdir(exist_ok=True)
        (example / "example.json").write_text(json.dumps(_EXAMPLE, indent=1) + "\n")
        talk.print(
            f"{out}: {', '.join(sorted(default_files()))}, tests/example.json; "
            f"next: framegate policy test {out}"
        )


@app.command("pull")
def pull(
    out: Annotated[Path, typer.Option(help="Folder to write.")],
    version: Annotated[int, typer.Option(min=0, help="Default: the one in force.")] = 0,
    context: Context = None,
) -> None:
    """Write the policy in force into a folder, to be changed; verifies its signature."""
    with errors():
        made = fetch_policy(load_context(context), version)
        _write(out, made.files)
        (out / "VERSION").write_text(f"{made.version}\n")
        talk.print(f"{out}: {made.label}; next: change it, then framegate policy validate {out}")


@app.command("validate")
def validate(folder: Folder, output: Output = "table") -> None:
    """Check a policy against its schema; needs no controller."""
    with errors():
        made = parse_policy(read_folder(folder))
        missing = [
            i for i in ("fresh-factor", "two-persons", "frozen-zones") if i not in made.effects
        ]
        if output == "json":
            show_json(
                {"sha256": made.sha256.hex(), "policies": dict(made.effects), "without": missing}
            )
            return
        show_table(("policy", "effect"), sorted(made.effects.items()), empty="")
        for name in missing:
            talk.print(
                f"[yellow]without {name}: what the default policy forbids by it is allowed[/]"
            )
        talk.print(f"valid: {len(made.effects)} policies, {made.sha256.hex()[:16]}")


@app.command("test")
def test(folder: Folder, output: Output = "table") -> None:
    """Run the folder's tests/*.json: given who asks what, expect allow or deny, and by which
    policies. Exit code 1 where one fails.
    """
    with errors():
        made = parse_policy(read_folder(folder))
        found: list[dict[str, Any]] = []
        for file in sorted((folder / "tests").glob("*.json")):
            found += [
                run_case(made, case, f"{file.name} {number}")
                for number, case in enumerate(_cases(file), start=1)
            ]
        if not found:
            raise Malformed.of(
                Reason.POLICY_INVALID,
                f"tests in {folder}/tests/*.json",
                "none",
                "framegate policy init --out DIR writes an example",
            )
        if output == "json":
            show_json(found)
        else:
            rows = [
                (
                    "ok" if c["good"] else "FAILS",
                    c["case"],
                    c["name"],
                    c["expected"],
                    c["actual"],
                    ", ".join(c["policies"]),
                )
                for c in found
            ]
            show_table(("", "test", "", "expected", "decided", "by"), rows, empty="")
            talk.print(f"{sum(c['good'] for c in found)} of {len(found)} as expected")
    if not all(c["good"] for c in found):
        raise typer.Exit(EXIT_FAILED)


@app.command("diff")
def diff(
    folder: Folder,
    version: Annotated[
        int, typer.Option(min=0, help="Compare with this version; default: the one in force.")
    ] = 0,
    output: Output = "table",
    context: Context = None,
) -> None:
    """What a folder changes in the policy in force."""
    with errors():
        held, new = fetch_policy(load_context(context), version).files, read_folder(folder)
        lines: list[str] = []
        for name in sorted(set(held) | set(new)):
            lines += difflib.unified_diff(
                held.get(name, "").splitlines(),
                new.get(name, "").splitlines(),
                f"in force/{name}",
                f"{folder}/{name}",
                lineterm="",
            )
        if output == "json":
            show_json(lines)
            return
        for line in lines:
            style = {"+": "green", "-": "red", "@": "cyan"}.get(line[:1])
            data.print(f"[{style}]{safe(line)}[/]" if style else safe(line), soft_wrap=True)
        if not lines:
            talk.print("no difference")


@app.command("explain")
def explain(
    device: Annotated[str, typer.Option(help="Why this device may be inspected, or not.")] = "",
    model: Annotated[str, typer.Option(help="Digest of the model.")] = "",
    folder: Annotated[
        Path | None, typer.Option(help="By this folder instead of the policy in force.")
    ] = None,
    output: Output = "table",
    context: Context = None,
) -> None:
    """Every policy with its text; or what it says of one device now, from which facts."""
    with errors():
        found = load_context(context)
        made = parse_policy(read_folder(folder)) if folder else fetch_policy(found, 0)
        if device:
            _explain_device(found, made, device, model, output)
            return
        if output == "json":
            show_json(
                {
                    "version": made.version,
                    "sha256": made.sha256.hex(),
                    "policies": dict(made.effects),
                    "files": dict(made.files),
                }
            )
            return
        talk.print(f"{made.label}")
        for name in sorted(made.files):
            if name != SCHEMA:
                data.print(f"[bold]{name}[/]")
                data.print(
                    "\n".join(map(safe, made.files[name].rstrip().splitlines())), soft_wrap=True
                )


def _explain_device(
    found: OperatorContext, made: PolicySet, device: str, model: str, output: str
) -> None:
    with operator_stub(found) as stub:
        detail = stub.Show(pb.DeviceRequest(device=device))
    s = detail.summary
    facts = device_facts(
        device=s.device,
        kind=s.kind,
        zone=s.zone,
        name=s.name,
        state=s.state,
        maintenance=bool(s.maintenance_until_ms),
        profile=s.profile,
        vector=dict(detail.vector),
        posture=json.loads(detail.posture) if detail.posture else {},
    )
    decision = made.decide(inspect_request(facts, s.device, model or "any", s.zone))
    if output == "json":
        show_json(
            {
                "device": s.device,
                "allow": decision.allow,
                "policies": list(decision.policies),
                "facts": facts,
                "failure": decision.failure.as_dict() if decision.failure else None,
            }
        )
    else:
        rows = [(k, v) for k, v in facts.items() if not isinstance(v, dict)]
        rows += [
            (f"{group}.{k}", v if not isinstance(v, list) else f"{len(v)} entries")
            for group in ("trustworthiness", "posture")
            for k, v in sorted(facts[group].items())
        ]
        show_table(("fact", "value"), rows, empty="")
        if decision.failure is None:
            talk.print(f"[green]allowed[/] by {', '.join(decision.policies)}")
        else:
            talk.print(f"[red]denied[/]: {safe(decision.failure)}")
    if not decision.allow:
        raise typer.Exit(EXIT_UNTRUSTED)


@app.command("simulate")
def simulate(
    folder: Folder,
    since: Annotated[str, typer.Option(help="How far back: 12h, 7d.")] = "7d",
    all_: Annotated[bool, typer.Option("--all", help="Also what stays.")] = False,
    output: Output = "table",
    context: Context = None,
) -> None:
    """Decide recorded decisions again by a folder's policy: what would change. Changes nothing.
    Exit code 6 where something would.
    """
    with errors():
        files = read_folder(folder)
        parse_policy(files)
        rows, total = [], 0
        with operator_stub(load_context(context)) as stub:
            for row in stub.SimulatePolicy(
                pb.SimulateRequest(files=_messages(files), since_ms=ago_ms(since)), stream=True
            ):
                total += 1
                if all_ or row.was != row.would:
                    rows.append(row)
        changed = [r for r in rows if r.was != r.would]
        if output == "json":
            shown = [_row_json(r) for r in rows]
            show_json({"decisions": total, "would_change": len(changed), "rows": shown})
        else:
            columns = ("who", "what", "on", "times", "last", "was", "would be", "by")
            show_table(columns, list(map(_row, rows)), empty="nothing would change")
            talk.print(f"{len(changed)} of {total} recorded decisions would change")
    if changed:
        raise typer.Exit(EXIT_UNTRUSTED)


def _row(r: pb.SimulateRow) -> tuple[object, ...]:
    words = {True: "allow", False: "DENY"}
    why = "; ".join(f"{f.expected}: {f.actual}" for f in r.failures)
    return (
        r.principal,
        r.action,
        r.resource,
        r.count,
        ago(r.last_ms),
        words[r.was],
        words[r.would],
        ", ".join(r.would_policies) or why,
    )


def _row_json(r: pb.SimulateRow) -> dict[str, Any]:
    return {
        "principal": r.principal,
        "action": r.action,
        "resource": r.resource,
        "count": r.count,
        "last_ms": r.last_ms,
        "was": r.was,
        "would": r.would,
        "was_policies": list(r.was_policies),
        "would_policies": list(r.would_policies),
        "why": [f"{f.reason}: {f.expected}, {f.actual}" for f in r.failures],
        "request": json.loads(r.request),
    }


@app.command("apply")
@write
def apply(
    folder: Folder,
    note: Annotated[str, typer.Option(help="What it changes, for the history.")] = "",
    base: Annotated[
        int,
        typer.Option(
            min=0,
            help="The version that was changed; default: the folder's VERSION, else the one in "
            "force.",
        ),
    ] = 0,
    output: Output = "table",
    context: Context = None,
) -> None:
    """Put a folder's policy in force, here and at every gateway. Somebody else has to approve
    exactly this.
    """
    with errors():
        files = read_folder(folder)
        parse_policy(files)
        kept = folder / "VERSION"
        with operator_stub(load_context(context)) as stub:
            version = base or (
                int(kept.read_text().strip() or 0)
                if kept.exists()
                else stub.ShowPolicy(pb.PolicyRequest()).version
            )
            reply = stub.ApplyPolicy(
                pb.ApplyPolicyRequest(files=_messages(files), base=version, note=note)
            )
        if kept.exists():
            kept.write_text(f"{reply.version}\n")
        if output == "json":
            show_json(_version(reply))
        else:
            talk.print(
                f"access policy version {reply.version} ({reply.sha256.hex()[:16]}) is in force"
            )


@app.command("history")
@read
def history(output: Output = "table", context: Context = None) -> None:
    """Versions that were in force."""
    with errors():
        with operator_stub(load_context(context)) as stub:
            rows = stub.PolicyHistory(pb.ListRequest()).versions
        if output == "json":
            show_json([_version(r) for r in rows])
            return
        cells = [
            (r.version, r.sha256.hex()[:16], r.applied_by, ago(r.applied_ms), r.note) for r in rows
        ]
        show_table(("version", "sha256", "by", "when", "note"), cells, empty="none")


def run_case(policy: PolicySet, case: Mapping[str, Any], where: str) -> dict[str, Any]:
    """One test: what was expected, what the policy said, and whether they agree. Raises
    Malformed.
    """
    try:
        given, expect = case["given"], case["expect"]
        if expect not in {"allow", "deny"} or not isinstance(given, dict):
            raise ValueError("expect allow or deny")
        request = _asked(given)
    except (KeyError, TypeError, ValueError) as error:
        form = (
            '{"name": …, "given": {"verb": …, "roles": […]} or {"device": {…}}, '
            '"expect": "allow" or "deny", "by": […]}'
        )
        problem = f"{where}: {type(error).__name__} {error}"[:200]
        raise Malformed.of(Reason.POLICY_INVALID, f"a test case: {form}", problem) from error
    decision = policy.decide(request)
    actual, by = "allow" if decision.allow else "deny", list(decision.policies)
    good = actual == expect and (set(case["by"]) <= set(by) if case.get("by") else True)
    return {
        "case": where,
        "name": str(case.get("name", "")),
        "expected": expect + (f" by {', '.join(case['by'])}" if case.get("by") else ""),
        "actual": actual,
        "policies": by,
        "good": good,
    }


def _asked(given: Mapping[str, Any]) -> Request:
    """The question of a test case. Raises KeyError, TypeError or ValueError where it is none."""
    if "request" in given:
        return Request.parse(json.dumps(given["request"]))
    if "device" in given:
        facts = _camera(given["device"])
        model, zone = str(given.get("model", "any")), str(given.get("zone", "line-1"))
        return inspect_request(facts, str(facts["id"]), model, zone)
    return verb_request(
        find_verb(given["verb"]),
        operator=str(given.get("operator", "anna")),
        roles=tuple(given.get("roles", ())),
        zone=str(given.get("zone", FLEET_WIDE)),
        frozen=bool(given.get("frozen", False)),
        fleet="plant",
        approvals=int(given.get("approvals", 0)),
        quorum=int(given.get("quorum", 2)),
        factor_age_s=int(given.get("factor_age", 0)),
        source=str(given.get("source", "192.0.2.1")),
        target=str(given.get("target", "")),
        break_glass=bool(given.get("break_glass", False)),
    )


def _camera(given: Mapping[str, Any]) -> dict[str, Any]:
    """A camera in good standing, but for what a test case says of it."""
    return {
        "id": "camera.line-1.cam1",
        "name": "cam1",
        "kind": "camera",
        "zone": "line-1",
        "state": "trusted",
        "maintenance": False,
        "firmwareProfile": "pcb-camera",
        "trustworthiness": {},
        "posture": {},
        **given,
    }


_EXAMPLE = [
    {
        "name": "a viewer looks",
        "given": {"verb": "device.list", "roles": ["viewer"]},
        "expect": "allow",
        "by": ["viewers"],
    },
    {
        "name": "and does not touch",
        "given": {"verb": "device.invite", "roles": ["viewer"], "zone": "line-1"},
        "expect": "deny",
    },
    {
        "name": "one person does not lift a quarantine",
        "given": {"verb": "device.lift", "roles": ["security"], "zone": "line-1"},
        "expect": "deny",
        "by": ["two-persons"],
    },
    {
        "name": "two do",
        "given": {"verb": "device.lift", "roles": ["security"], "zone": "line-1", "approvals": 1},
        "expect": "allow",
    },
    {
        "name": "an old factor does not",
        "given": {
            "verb": "device.lift",
            "roles": ["security"],
            "zone": "line-1",
            "approvals": 1,
            "factor_age": 3600,
        },
        "expect": "deny",
        "by": ["fresh-factor"],
    },
    {
        "name": "a trusted camera is inspected in its zone",
        "given": {"device": {}},
        "expect": "allow",
        "by": ["cameras-of-the-zone"],
    },
    {"name": "not in another", "given": {"device": {}, "zone": "line-2"}, "expect": "deny"},
    {
        "name": "not while it is serviced",
        "given": {"device": {"maintenance": True}},
        "expect": "deny",
        "by": ["not-in-maintenance"],
    },
]


def read_folder(folder: Path) -> dict[str, str]:
    """The policy's files in a folder. Raises Malformed."""
    found = {}
    try:
        for path in sorted([folder / SCHEMA, *folder.glob("*.cedar")]):
            if path.stat().st_size > MAX_READ:
                raise Malformed.of(
                    Reason.TOO_LARGE,
                    f"a policy file of at most {MAX_READ} bytes",
                    f"{path}: {path.stat().st_size}",
                )
            found[path.name] = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        problem = getattr(error, "strerror", None) or type(error).__name__
        raise Malformed.of(
            Reason.POLICY_INVALID,
            f"{SCHEMA} and .cedar files in {folder}",
            f"{problem}",
            "framegate policy init --out DIR, or framegate policy pull --out DIR",
        ) from error
    return found


def _cases(file: Path) -> list[Any]:
    try:
        body = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise Malformed.of(
            Reason.POLICY_INVALID, "a JSON list of test cases", f"{file}: {error}"[:200]
        ) from error
    if not isinstance(body, list):
        raise Malformed.of(
            Reason.POLICY_INVALID, "a JSON list of test cases", f"{file}: {type(body).__name__}"
        )
    return body


def fetch_policy(context: OperatorContext, version: int = 0) -> PolicySet:
    """A version, by default the one in force, after its signature by this fleet's policy key
    held. Raises Refused.
    """
    with operator_stub(context) as stub:
        reply = stub.ShowPolicy(pb.PolicyRequest(version=version))
    try:
        return verify_policy(reply.envelope, context.root_certificate)
    except FramegateError as error:
        raise Refused.of(
            Reason.POLICY_INVALID,
            "an access policy signed by this fleet's policy key",
            str(error),
            "the controller or its store was tampered with",
        ) from error


def _write(out: Path, files: Mapping[str, str]) -> None:
    out.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (out / name).write_text(text)


def _messages(files: Mapping[str, str]) -> list[pb.PolicyFile]:
    return [pb.PolicyFile(name=n, text=t) for n, t in sorted(files.items())]


def _version(r: pb.PolicyReply) -> dict[str, Any]:
    return {
        "version": r.version,
        "sha256": r.sha256.hex(),
        "applied_by": r.applied_by,
        "applied_ms": r.applied_ms,
        "note": r.note,
    }
