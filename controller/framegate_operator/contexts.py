"""Contexts: a fleet's addresses and root, and after sign-in a person's credential for it. One file
each; names for several fleets.
"""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from framegate.errors import Reason, Refused, Unavailable
from framegate.identity import pem
from framegate.identity.certificates import load_authorities
from framegate.identity.names import parse_name
from framegate_host.console import OutputFormat, safe, show_json, talk
from framegate_host.operator_context import context_body
from framegate_host.private_files import private_folder, write_private
from framegate_operator.output import errors, show_table, until

FOLDER: Final = Path.home() / ".config/framegate"


@dataclass(slots=True)
class OperatorContext:
    """Where the fleet is and who the operator is; the credential's members are empty before
    sign-in. PEM texts. Its `authorities` alone change, see `know`.
    """

    path: Path
    join_address: str
    fleet_address: str
    server_name: str
    root: bytes
    operator: str = ""
    certificate: bytes = b""
    key: bytes = b""
    authorities: bytes = b""
    expires_ms: int = 0

    @property
    def root_certificate(self) -> x509.Certificate:
        """The fleet's root."""
        return pem.certificate(self.root, self.path)

    @property
    def authority_certificates(self) -> tuple[x509.Certificate, ...]:
        """Issuing CAs, to verify verdicts with."""
        return pem.certificates(self.authorities, self.path)

    def signed_in(
        self,
        *,
        operator: str,
        certificate: bytes,
        key: bytes,
        authorities: bytes,
        expires_ms: int,
        fleet_address: str,
    ) -> OperatorContext:
        """The same with a credential, written to its file."""
        context = replace(
            self,
            operator=operator,
            certificate=certificate,
            key=key,
            authorities=authorities,
            expires_ms=expires_ms,
            fleet_address=fleet_address or self.fleet_address,
        )
        context.write()
        return context

    def know(self, authorities: Sequence[bytes]) -> bool:
        """Take issuing CAs (DER) as the controller has them now, each signed by the root, in here
        and in the context's file; whether that changed anything.

        Raises Malformed, Refused (CERTIFICATE).
        """
        issuing = load_authorities(authorities, self.root_certificate)
        known = b"".join(c.public_bytes(Encoding.PEM) for c in issuing)
        if not issuing or known == self.authorities:
            return False
        self.authorities = known
        kept = read_context(self.path)
        if kept.key == self.key:  # or somebody signed in, or out, in another terminal meanwhile
            self.write()
        return True

    def signed_out(self) -> None:
        """Forget the credential."""
        replace(self, operator="", certificate=b"", key=b"", authorities=b"", expires_ms=0).write()

    def write(self) -> None:
        """To its file, readable by its owner alone."""
        body: dict[str, Any] = context_body(
            self.join_address, self.fleet_address, self.server_name, self.root.decode()
        )
        if self.key:
            body |= {
                "operator": self.operator,
                "expires_ms": self.expires_ms,
                **{m: getattr(self, m).decode() for m in ("certificate", "key", "authorities")},
            }
        write_private(self.path, json.dumps(body, indent=1).encode())


def context_path(chosen: Path | str | None) -> Path:
    """The file that `chosen` names: a path, or a name among the kept ones; else FRAMEGATE_CONTEXT;
    else the one in use.
    """
    text = str(chosen) if chosen else os.environ.get("FRAMEGATE_CONTEXT", "")
    if not text:
        current = FOLDER / "current"
        text = current.read_text().strip() if current.exists() else "default"
    if "/" in text or text.endswith(".json") or Path(text).exists():
        return Path(text)
    return FOLDER / "contexts" / f"{text}.json"


def read_context(chosen: Path | str | None) -> OperatorContext:
    """The context, signed in or not. Raises Unavailable or Refused."""
    path = context_path(chosen)
    try:
        mode = path.stat().st_mode & 0o077
        body = json.loads(path.read_text())
        context = OperatorContext(
            path,
            str(body["join_address"]),
            str(body["fleet_address"]),
            str(body["server_name"]),
            body["root"].encode(),
            str(body.get("operator", "")),
            body.get("certificate", "").encode(),
            body.get("key", "").encode(),
            body.get("authorities", "").encode(),
            int(body.get("expires_ms", 0)),
        )
    except FileNotFoundError as error:
        hint = (
            "set FRAMEGATE_CONTEXT or --context to the file that framegate-controller init wrote,"
            " or: framegate context add NAME FILE"
        )
        raise Unavailable.of(
            Reason.UNAVAILABLE, f"an operator's context in {path}", "no file", hint
        ) from error
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise Refused.of(
            Reason.USAGE,
            f"an operator's context in {path}",
            type(error).__name__,
            "framegate-controller init writes one; framegate context add NAME FILE",
        ) from error
    if mode and context.key:
        wanted, seen = f"{path} readable by you alone", f"others may open it (mode ..{mode:02o})"
        raise Refused.of(Reason.USAGE, wanted, seen, f"chmod 600 {shlex.quote(str(path))}")
    return context


app = typer.Typer(no_args_is_help=True, help="Fleets you work with.")
NameArgument = Annotated[str, typer.Argument(help="Name of the context.")]


@app.command("add")
def add(
    name: NameArgument,
    file: Annotated[
        Path,
        typer.Argument(
            exists=True, dir_okay=False, help="A context file, as init or operator add wrote it."
        ),
    ],
    use: Annotated[bool, typer.Option(help="Use it from now on.")] = True,
) -> None:
    """Keep a fleet's context under a name."""
    with errors():
        context = read_context(file.absolute())
        private_folder(FOLDER / "contexts")
        kept = replace(context, path=FOLDER / "contexts" / f"{parse_name(name)}.json")
        kept.write()
        if use:
            write_private(FOLDER / "current", name.encode())
        talk.print(
            f"context {safe(name)}: {safe(kept.server_name)} at {safe(kept.fleet_address)}; next: "
            "framegate login"
            " NAME"
        )


@app.command("use")
def use(name: NameArgument) -> None:
    """Work with this fleet from now on."""
    with errors():
        read_context(parse_name(name))
        write_private(FOLDER / "current", name.encode())
        talk.print(f"using {safe(name)}; next: framegate whoami")


@app.command("list")
def list_(
    output: OutputFormat = "table",
) -> None:
    """Contexts that are kept, and which is in use."""
    with errors():
        current = context_path(None)
        contexts = []
        for path in sorted((FOLDER / "contexts").glob("*.json")):
            context = read_context(path)
            contexts.append((path.stem, path == current, context))
        if output == "json":
            show_json(
                [
                    {
                        "name": n,
                        "in_use": used,
                        "fleet": c.server_name,
                        "address": c.fleet_address,
                        "operator": c.operator,
                        "expires_ms": c.expires_ms,
                    }
                    for n, used, c in contexts
                ]
            )
            return
        rows = [
            (
                "*" if used else "",
                n,
                c.server_name,
                c.fleet_address,
                c.operator or "signed out",
                until(c.expires_ms) if c.operator else "",
            )
            for n, used, c in contexts
        ]
        show_table(
            ("", "name", "fleet", "address", "operator", "until"),
            rows,
            empty="none: framegate context add NAME FILE",
        )
