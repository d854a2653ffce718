"""What a person is asked and shown at the terminal when they set up how they sign in."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from framegate.errors import Malformed, Reason
from framegate_host.console import ask, talk


def ask_password(what: str, file: Path | None, *, new: bool = False) -> str:
    """Out of `file`, else asked for without echo. Raises Malformed where there is no terminal."""
    if file is not None:
        return file.read_text().rstrip("\n")
    if not sys.stdin.isatty():
        raise Malformed.of(
            Reason.USAGE,
            f"a terminal to ask for the {what}, or a file",
            "neither",
            "--password-file FILE",
        )
    return ask(what, hide_input=True, confirmation_prompt=new)


def show_authenticator(uri: str) -> None:
    """What an authenticator app takes, to be scanned now."""
    if talk.is_terminal:
        # only here is a picture drawn, and hosts of agents and gateways have no need of it
        import segno  # noqa: PLC0415 - optional

        segno.make(uri).terminal(out=sys.stderr, compact=True)
    talk.print(f"your authenticator app takes: {uri}", markup=False)


def show_recovery_codes(codes: Sequence[str]) -> None:
    """Recovery codes, an even number of them, told this once."""
    talk.print(
        "[bold]recovery codes[/], each good once, told only now; keep them where your phone is not:"
    )
    for first, second in zip(codes[::2], codes[1::2], strict=True):
        talk.print(f"  {first}   {second}")
