"""`framegate broker`: the configuration and the access list of a mosquitto broker, so that each
machine connects and publishes only as itself.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated

import typer

from framegate.identity.names import Kind, parse_name, split_device_id
from framegate.pilot.word import STAGES_TOPIC
from framegate.signed.line_state import STATE_TOPIC
from framegate.signed.report import REPORTS_TOPIC, TAKEN_TOPIC
from framegate_host.console import safe, talk, typed
from framegate_host.printing import show_text
from framegate_host.private_files import write_public
from framegate_operator.broker_config import CONNECTIONS, BrokerFiles, mosquitto_conf
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
    each reads what is addressed to it, gateways also what lines say of themselves and report. A
    line adapter reads verdicts and triggers, writes under its line, and reads what gateways took
    and what they pass on of the zone's stage;
    `<line>-plc` writes its triggers and reads its decisions. `readers` read verdicts.
    """
    out = [
        "# Made by: framegate broker acl, for the mosquitto.conf that framegate broker config"
        " writes: use_identity_as_username true, use_username_as_clientid true."
    ]
    for device in sorted(devices):
        kind = split_device_id(device).kind
        out += ["", f"user {device}"]
        if kind == Kind.GATEWAY:
            out += [
                f"topic write framegate/v1/verdicts/{device}/+",
                f"topic write framegate/v1/answers/{device}/+/+",
                f"topic read framegate/v1/frames/+/{device}/+",
                f"topic read {STATE_TOPIC.format(line='+')}",
                f"topic read {REPORTS_TOPIC.format(line='+')}",
                f"topic write {TAKEN_TOPIC.format(gateway=device, line='+')}",
                f"topic write {STAGES_TOPIC.format(gateway=device)}",
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
            f"topic write {STATE_TOPIC.format(line=line)}",
            f"topic write {REPORTS_TOPIC.format(line=line)}",
            f"topic read {TAKEN_TOPIC.format(gateway='+', line=line)}",
            f"topic read {STAGES_TOPIC.format(gateway='+')}",
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
            show_text(text, end="")
            return
        write_public(out, text.encode())
        talk.print(
            f"{safe(out)}: {len(devices)} machines, {len(line or ())} lines; have the broker read "
            "it:"
            " kill -HUP $(pidof mosquitto)"
        )


@app.command()
def config(
    folder: Annotated[
        Path,
        typer.Option(
            help="Folder that framegate-controller server-certificate wrote, at the broker's host."
        ),
    ],
    acl_file: Annotated[
        Path, typer.Option("--acl", help="The access list, by framegate broker acl.")
    ],
    name: Annotated[str, typer.Option(help="Name of the server certificate.")] = "broker",
    listen: Annotated[
        str, typer.Option(help="Port, or ADDRESS:PORT, to listen on; default: every address.")
    ] = "8883",
    connections: Annotated[
        int, typer.Option(min=2, max=100_000, help="Connections at once.")
    ] = CONNECTIONS,
    user: Annotated[
        str, typer.Option(help="User that it runs as; default: mosquitto's own choice.")
    ] = "",
    out: Annotated[
        Path | None, typer.Option(help="File to write; default: standard output.")
    ] = None,
) -> None:
    """Print a whole mosquitto.conf: who is let in and as whom, and how much it takes and keeps."""
    with errors():
        host, _, port = listen.rpartition(":")
        if not port.isdigit() or not 0 < int(port) < 65_536:
            raise typer.BadParameter(f"a port, or an address and a port, got {listen!a}")
        places = (str(folder), str(acl_file), host, user)
        if not all(each.isprintable() for each in places) or any(map(str.isspace, host + user)):
            raise typer.BadParameter("paths and names of one line each")
        files = BrokerFiles(
            folder=folder.absolute(), name=parse_name(name), acl=acl_file.absolute()
        )
        text = mosquitto_conf(files, (host, int(port)), connections=connections, user=user)
        if out is None:
            show_text(text, end="")
            return
        write_public(out, text.encode())
        talk.print(f"{safe(out)}: start it with: mosquitto -c {typed(out)}")
        if not user and os.geteuid() == 0:
            talk.print(
                "Started by root, mosquitto goes on as its own user, who must be able to read these"
                " files; --user names another."
            )
