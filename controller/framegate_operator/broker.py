"""`framegate broker acl`: the access list of a mosquitto broker, so that each machine publishes
only as itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated

import typer

from framegate.identity.names import Kind, parse_name, split_device_id
from framegate_host.console import talk
from framegate_operator.connection import load_context, operator_stub
from framegate_operator.options import Context
from framegate_operator.output import errors
from framegate_proto.v1 import framegate_pb2 as pb

app = typer.Typer(no_args_is_help=True, help="The MQTT broker's side of the fleet.")
_LEFT_OUT = {"retired", "quarantined", "suspect"}
"""Machines in these states have no business on the broker."""


def mosquitto_acl(
    devices: Iterable[str], lines: Sequence[str] = (), readers: Sequence[str] = ()
) -> str:
    """mosquitto's acl_file for `use_identity_as_username true`: a user is a certificate's common
    name.

    A gateway writes verdicts and answers under its own name, a camera writes frames under its own;
    each reads what is addressed to it. A line adapter reads verdicts and triggers, and writes under
    its line; `<line>-plc` writes its triggers and reads its decisions. `readers` read verdicts.
    """
    out = [
        "# Made by: framegate broker acl. Needs use_identity_as_username true, require_certificate"
        " true, allow_anonymous false."
    ]
    for device in sorted(devices):
        kind = split_device_id(device).kind
        out += ["", f"user {device}"]
        if kind == Kind.GATEWAY:
            out += [
                f"topic write framegate/v1/verdicts/{device}/+",
                f"topic write framegate/v1/answers/{device}/+/+",
                f"topic read framegate/v1/frames/+/{device}/+",
            ]
        else:
            out += [
                f"topic write framegate/v1/frames/{device}/+/+",
                f"topic read framegate/v1/answers/+/{device}/+",
            ]
    for line in sorted(lines):
        parse_name(line, "line")
        out += [
            "",
            f"user line.{line}",
            "topic read framegate/v1/verdicts/#",
            f"topic read framegate/v1/lines/{line}/triggers",
        ]
        out += [
            f"topic write framegate/v1/lines/{line}/decisions",
            f"topic write framegate/v1/lines/{line}/notices",
        ]
        out += ["", f"user line.{line}-plc", f"topic write framegate/v1/lines/{line}/triggers"]
        out += [
            f"topic read framegate/v1/lines/{line}/decisions",
            f"topic read framegate/v1/lines/{line}/notices",
        ]
    for reader in sorted(readers):
        out += [
            "",
            f"user {reader}",
            "topic read framegate/v1/verdicts/#",
            "topic read framegate/v1/lines/#",
        ]
    return "\n".join(out) + "\n"


@app.command()
def acl(
    out: Annotated[
        Path | None, typer.Option(help="File to write; default: standard output.")
    ] = None,
    line: Annotated[
        list[str] | None, typer.Option(help="A line with an adapter and a PLC; may be repeated.")
    ] = None,
    reader: Annotated[
        list[str] | None,
        typer.Option(
            help=(
                "A common name that may read verdicts, for instance operator.anna; may be repeated."
            )
        ),
    ] = None,
    context: Context = None,
) -> None:
    """Print mosquitto's access list for the machines of this fleet; make it anew when machines join
    or leave, then: kill -HUP the broker.
    """
    with errors():
        for name in reader or ():
            if "\n" in name or " " in name:
                raise typer.BadParameter(f"a common name, got {name!a}")
        with operator_stub(load_context(context)) as stub:
            devices = [
                d.device for d in stub.List(pb.ListRequest()).devices if d.state not in _LEFT_OUT
            ]
        text = mosquitto_acl(devices, line or (), reader or ())
        if out is None:
            print(text, end="")
            return
        out.write_text(text)
        talk.print(
            f"{out}: {len(devices)} machines, {len(line or ())} lines; have the broker read it:"
            " kill -HUP $(pidof mosquitto)"
        )
