"""`framegate policy …`: the access policy as files: pull, change, validate, test, simulate,
apply.
"""

from __future__ import annotations

import difflib
import json
import shlex
from pathlib import Path
from typing import Annotated, Any

import typer

from framegate.access.policy import SCHEMA, PolicySet, default_files, parse_policy
from framegate.access.questions import device_facts, inspect_request
from framegate.errors import Malformed, Reason
from framegate_host.console import EXIT_FAILED, EXIT_UNTRUSTED, safe, show_json, talk, typed
from framegate_host.private_files import public_folder, write_public
from framegate_operator.answers import CONTROLLER, json_object, posture_of
from framegate_operator.connection import load_context, operator_stub
from framegate_operator.contexts import OperatorContext
from framegate_operator.options import Context, Output, write
from framegate_operator.output import ago, ago_ms, data, errors, show_table
from framegate_operator.policy_cases import EXAMPLE, read_cases, run_case
from framegate_operator.policy_files import fetch_policy, policy_messages, read_folder, write_folder
from framegate_operator.policy_status import status, tell_missing
from framegate_operator.policy_versions import apply_folder, history, update
from framegate_proto.v1 import framegate_pb2 as pb

app = typer.Typer(
    no_args_is_help=True,
    help="The access policy (Cedar): who may do what, and which device may use which model.",
)
app.command("status")(status)
app.command("update")(update)
app.command("history")(history)
Folder = Annotated[Path, typer.Argument(help=f"A folder with {SCHEMA} and .cedar files.")]


@app.command("init")
def init(out: Annotated[Path, typer.Option(help="Folder to write.")]) -> None:
    """Write the default policy, to be changed; needs no controller."""
    with errors():
        write_folder(out, default_files())
        example = out / "tests"
        public_folder(example)
        write_public(example / "example.json", json.dumps(EXAMPLE, indent=1).encode() + b"\n")
        talk.print(
            f"{safe(out)}: {', '.join(sorted(default_files()))}, tests/example.json; "
            f"next: framegate policy test {typed(out)}"
        )


@app.command("pull")
def pull(
    out: Annotated[Path, typer.Option(help="Folder to write.")],
    version: Annotated[int, typer.Option(min=0, help="Default: the one in force.")] = 0,
    context: Context = None,
) -> None:
    """Write the policy in force into a folder, to be changed; verifies its signature."""
    with errors():
        policy = fetch_policy(load_context(context), version)
        write_folder(out, policy.files)
        write_public(out / "VERSION", f"{policy.version}\n".encode())
        talk.print(
            f"{safe(out)}: {safe(policy.label)}; next: change it, then framegate policy validate "
            f"{typed(out)}"
        )


@app.command("validate")
def validate(folder: Folder, output: Output = "table") -> None:
    """Check a policy against its schema; needs no controller."""
    with errors():
        policy = parse_policy(read_folder(folder))
        missing = [
            i for i in ("fresh-factor", "two-persons", "frozen-zones") if i not in policy.effects
        ]
        if output == "json":
            show_json(
                {
                    "sha256": policy.sha256.hex(),
                    "policies": dict(policy.effects),
                    "without": missing,
                    "missing": list(policy.missing),
                }
            )
            return
        show_table(("policy", "effect"), sorted(policy.effects.items()), empty="")
        for name in missing:
            talk.print(
                f"[yellow]without {safe(name)}: what the default policy forbids by it is allowed[/]"
            )
        tell_missing(policy, f"framegate policy update {shlex.quote(str(folder))}")
        talk.print(f"valid: {len(policy.effects)} policies, {policy.sha256.hex()[:16]}")


@app.command("test")
def test(folder: Folder, output: Output = "table") -> None:
    """Run the folder's tests/*.json: given who asks what, expect allow or deny, and by which
    policies. Exit code 1 where one fails.
    """
    with errors():
        policy = parse_policy(read_folder(folder))
        results: list[dict[str, Any]] = []
        for file in sorted((folder / "tests").glob("*.json")):
            results += [
                run_case(policy, case, f"{file.name} {number}")
                for number, case in enumerate(read_cases(file), start=1)
            ]
        if not results:
            raise Malformed.of(
                Reason.POLICY_INVALID,
                f"tests in {folder}/tests/*.json",
                "none",
                "framegate policy init --out DIR writes an example",
            )
        if output == "json":
            show_json(results)
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
                for c in results
            ]
            show_table(("", "test", "", "expected", "decided", "by"), rows, empty="")
            talk.print(f"{sum(c['good'] for c in results)} of {len(results)} as expected")
    if not all(c["good"] for c in results):
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
        in_force, new = fetch_policy(load_context(context), version).files, read_folder(folder)
        lines: list[str] = []
        for name in sorted(set(in_force) | set(new)):
            lines += difflib.unified_diff(
                in_force.get(name, "").splitlines(),
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
        operator = load_context(context)
        policy = parse_policy(read_folder(folder)) if folder else fetch_policy(operator, 0)
        if device:
            _explain_device(operator, policy, device, model, output)
            return
        if output == "json":
            show_json(
                {
                    "version": policy.version,
                    "sha256": policy.sha256.hex(),
                    "policies": dict(policy.effects),
                    "files": dict(policy.files),
                }
            )
            return
        talk.print(f"{safe(policy.label)}")
        for name in sorted(policy.files):
            if name != SCHEMA:
                data.print(f"[bold]{safe(name)}[/]")
                data.print(
                    "\n".join(map(safe, policy.files[name].rstrip().splitlines())), soft_wrap=True
                )


def _explain_device(
    operator: OperatorContext, policy: PolicySet, device: str, model: str, output: str
) -> None:
    with operator_stub(operator) as stub:
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
        posture=posture_of(detail),
    )
    decision = policy.decide(inspect_request(facts, s.device, model or "any", s.zone))
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
                pb.SimulateRequest(files=policy_messages(files), since_ms=ago_ms(since)),
                stream=True,
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
    labels = {True: "allow", False: "DENY"}
    why = "; ".join(f"{f.expected}: {f.actual}" for f in r.failures)
    return (
        r.principal,
        r.action,
        r.resource,
        r.count,
        ago(r.last_ms),
        labels[r.was],
        labels[r.would],
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
        "request": json_object(r.request.encode(), "a request", CONTROLLER),
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
        apply_folder(folder, note=note, base=base, output=output, context=context)
