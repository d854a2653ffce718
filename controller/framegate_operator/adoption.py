"""`framegate camera adopt` and `profile`: a machine of a model that the fleet does not know yet, in
one guided command; and another profile for a machine.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from framegate.identity.names import parse_name
from framegate_host.console import confirm, safe, show_json, talk, typed
from framegate_operator.connection import load_context, operator_stub
from framegate_operator.machines import Name, Why, detail_of, summary_json
from framegate_operator.options import WRITE, Context, Output, SignerKey, write
from framegate_operator.output import errors
from framegate_proto.v1 import framegate_pb2 as pb


@write
def profile(
    kind: str,
    name: Name,
    profile: Annotated[str, typer.Argument(help="A profile of the fleet: framegate profile list.")],
    reason: Why = "",
    output: Output = "table",
    context: Context = None,
) -> None:
    """Have it satisfy another firmware profile from now on. What it proved before ends; a suspect
    still has to be released.
    """
    with errors():
        with operator_stub(load_context(context)) as stub:
            device = detail_of(stub, name, kind).summary.device
            request = pb.AssignProfileRequest(device=device, profile=profile, reason=reason)
            summary = stub.AssignProfile(request)
        if output == "json":
            show_json(summary_json(summary))
            return
        talk.print(f"{safe(summary.device)}: profile {safe(profile)}, now {summary.state}")
        if summary.state == "suspect":
            talk.print(f"next: framegate {kind} release {typed(summary.name)}")


@write
def adopt(  # noqa: PLR0913 - a command's options
    kind: str,
    name: Name,
    key: SignerKey,
    model: Annotated[
        str, typer.Option(help="Name of the profile, the machine's model; default: NAME.")
    ] = "",
    out: Annotated[
        Path | None,
        typer.Option(help="Where to write the profile; default: MODEL.toml. One there is used."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    reason: Why = "",
    context: Context = None,
) -> None:
    """Take in a machine of a model that the fleet has no profile of: learn one of what it booted,
    show it, sign and import it, assign it, and release the machine. Be sure of the machine first:
    what it runs now is what counts as good.
    """
    # what learns profiles takes longer to load than other commands on machines take
    from framegate_operator import adoption_steps as steps  # noqa: PLC0415 - see above

    with errors():
        called = parse_name(model or name.rsplit(".", 1)[-1], "profile")
        file = out or Path(f"{called}.toml")
        with operator_stub(load_context(context)) as stub:
            detail = detail_of(stub, name, kind)
            steps.require_strange(detail, called)
            learnt = steps.learn_profile(stub, detail, called, file)
            steps.show_profile(learnt)
            if WRITE.get().dry_run:
                return
            if not yes:
                confirm(f"is {detail.summary.device} good as it is? sign this")
            steps.bring_in(stub, learnt, file, key)
            steps.assign_profile(stub, detail.summary, called, reason or f"adopted as {called}")
