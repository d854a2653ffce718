"""framegate: the operator's command line."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from typer.core import TyperGroup

from framegate.endorsement import load_maker_certificate
from framegate.errors import Malformed, Reason
from framegate_controller.cli import audit, broker, contexts, evidence, masks, people, policies, profiles, receipts, results, rollouts, signin, vault, verdicts, zones
from framegate_controller.cli.connection import load_context, operator_stub
from framegate_controller.cli.devices import Context, Output, device_commands
from framegate_controller.cli.options import read, write
from framegate_controller.cli.output import STATE_STYLE, ago, data, errors, safe, show_json, show_table, talk
from framegate_proto.v1 import framegate_pb2 as pb

_LEFT: Final = (
    ("see", {"fleet": "how many stand where", "top": "the fleet, live", "events": "what happened", "camera": "invite, look, steer", "gateway": "the same for hosts",
             "zone": "rules, freezing", "verdict": "what the model said", "lineage": "what is behind it"}),
    ("sign in, give rights", {"login": "and logout, whoami", "operator": "people and roles", "access": "for a while; approve",
                              "auth": "who may do what", "policy": "the rules (Cedar)"}),
    ("frames and privacy", {"mask": "never shown to anyone", "data": "what is kept; erase", "frame": "take one out", "dataset": "take many out"}),
)  # fmt: skip
_RIGHT: Final = (
    ("bring in machines", {"trust": "TPM makers", "profile": "what they must be", "rollout": "updates, in waves", "replay": "a profile on the past",
                           "maintenance": "being worked on"}),
    ("prove", {"audit": "the record, verified", "receipt": "proofs of verdicts", "result": "attestation results", "evidence": "quotes, logs, files"}),
    ("care for the fleet", {"ca": "authorities, rotation", "broker": "MQTT access list", "context": "several fleets"}),
)  # fmt: skip
"""What people want, and the verbs for it, in two columns."""


class GroupedHelp(TyperGroup):
    """A help text that fits a screen of 80 by 24: verbs by what people want."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Print it."""
        data.print("Usage: [bold]framegate VERB …[/]   only cameras that prove themselves reach the model")
        columns = []
        for side in (_LEFT, _RIGHT):
            lines = []
            for title, names in side:
                lines.append(f"[bold]{title:<39}[/]")
                lines += [f"  [cyan]{name:<12}[/]{words:<25}" for name, words in names.items()]
            columns.append(lines)
        blank = " " * 39
        for left, right in itertools.zip_longest(*columns, fillvalue=blank):
            data.print(left + right.rstrip(), highlight=False)
        data.print("[dim]VERB --help: more. Reads: -o json, --watch. Changes: --dry-run, --reason, --wait[/]")


app = typer.Typer(no_args_is_help=True, cls=GroupedHelp, help="Framegate: only cameras that prove themselves reach the model, and only then.", pretty_exceptions_enable=False)
trust = typer.Typer(no_args_is_help=True, help="TPM makers whose endorsement counts.")
app.command("login")(signin.login)
app.command("logout")(signin.logout)
app.command("whoami")(signin.whoami)
app.command("top")(zones.top)
for _name, _group in (
    ("camera", device_commands("camera")), ("gateway", device_commands("gateway")), ("verdict", verdicts.app), ("trust", trust), ("evidence", evidence.app),
    ("profile", profiles.app), ("result", results.app), ("rollout", rollouts.app), ("broker", broker.app), ("receipt", receipts.app), ("lineage", vault.lineages),
    ("data", vault.vault), ("frame", vault.frames), ("dataset", vault.datasets), ("mask", masks.app), ("operator", people.operators), ("access", people.access),
    ("auth", people.auth), ("policy", policies.app), ("audit", audit.app), ("zone", zones.zones), ("maintenance", zones.maintenance), ("ca", zones.ca), ("context", contexts.app),
):  # fmt: skip
    app.add_typer(_group, name=_name)
app.command("replay")(rollouts.replay)


@app.command()
@read
def fleet(output: Output = "table", context: Context = None) -> None:
    """How many machines stand where."""
    with errors():
        with operator_stub(load_context(context)) as stub:
            status = stub.FleetStatus(pb.ListRequest())
        if output == "json":
            show_json(
                {
                    "fleet": status.fleet, "controller": status.controller, "states": dict(status.states), "revision": status.revision,
                    "attest_interval_ms": status.attest_interval_ms, "watchers": status.watchers, "feeds": status.feeds,
                }
            )  # fmt: skip
            return
        data.print(
            f"fleet {safe(status.fleet)}, {status.controller}, attest interval {status.attest_interval_ms / 1000:g} s, "
            f"{status.watchers} agents and {status.feeds} gateways connected"
        )
        show_table(
            ("state", "machines"), [(s, status.states[s]) for s in STATE_STYLE if status.states.get(s)], empty="no machines yet: framegate camera invite NAME --profile PROFILE"
        )


@app.command()
@read
def events(
    device: Annotated[str, typer.Option(help="Only this machine.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 20,
    output: Output = "table",
    context: Context = None,
) -> None:
    """What happened, newest first."""
    with errors():
        with operator_stub(load_context(context)) as stub:
            rows = stub.Events(pb.EventsRequest(device=device, limit=limit)).events
        if output == "json":
            show_json(
                [
                    {
                        "at_ms": e.at_ms,
                        "device": e.device,
                        "event": e.event,
                        "actor": e.actor,
                        "detail": e.detail,
                        "from": e.from_state,
                        "to": e.to_state,
                        "entry": e.index,
                        "source": e.source,
                        "approved_by": list(e.approved_by),
                        "reason": e.reason,
                        "verb": e.verb,
                        "policies": list(e.policies),
                    }
                    for e in rows
                ]
            )
            return
        show_table(
            ("when", "device", "event", "by", "from", "to", "detail"),
            [(ago(e.at_ms), e.device, e.event, e.actor, e.from_state, e.to_state, e.detail) for e in rows],
            empty="nothing yet",
        )


@trust.command("add-tpm-ca")
@write
def add_tpm_ca(file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="PEM or DER; a PEM file may hold several.")], context: Context = None) -> None:
    """Trust a TPM maker's CA: its endorsement certificates then count."""
    with errors():
        raw = file.read_bytes()
        try:
            found = x509.load_pem_x509_certificates(raw) if b"-----BEGIN" in raw else [load_maker_certificate(raw).certificate]
        except (ValueError, Malformed) as error:
            raise Malformed.of(Reason.USAGE, "a certificate in PEM or DER", f"{file}: {error}") from error
        with operator_stub(load_context(context)) as stub:
            for certificate in found:
                row = stub.AddTpmCa(pb.TpmCa(certificate=certificate.public_bytes(Encoding.DER)))
                talk.print(f"trusted: {safe(row.subject)} ({row.sha256[:16]}…)")


@trust.command("list")
@read
def list_tpm_cas(output: Output = "table", context: Context = None) -> None:
    """The TPM makers' CAs that are trusted."""
    with errors():
        with operator_stub(load_context(context)) as stub:
            rows = stub.ListTpmCas(pb.ListRequest()).authorities
        if output == "json":
            show_json([{"subject": r.subject, "sha256": r.sha256, "added_ms": r.added_ms, "expires_ms": r.expires_ms} for r in rows])
            return
        show_table(
            ("subject", "sha256", "added"),
            [(r.subject, r.sha256, ago(r.added_ms)) for r in rows],
            empty="none: only tickets with an EK hash work; add one: framegate trust add-tpm-ca FILE",
        )


def run_app() -> None:
    """Entry point."""
    app(prog_name="framegate")
