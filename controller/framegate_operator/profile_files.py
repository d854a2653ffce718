"""Firmware profiles in files: read one, and say what is wrong with it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from framegate.profile.model import PROFILE_TYPE, FirmwareProfile, parse_profile
from framegate.profile.review import Remark, lint
from framegate.signed.dsse import parse_envelope
from framegate_host.console import show_json
from framegate_operator.evidence_kinds import Kind
from framegate_operator.evidence_reading import read_as
from framegate_operator.output import show_table

File = Annotated[
    Path, typer.Argument(exists=True, dir_okay=False, help="A profile in TOML, or signed (DSSE).")
]


def load_profile(file: Path) -> FirmwareProfile:
    """The profile in a file, in TOML or signed (DSSE); its signature is not verified."""
    return read_as(file, _profile_in, Kind.PROFILE)


def _profile_in(raw: bytes) -> FirmwareProfile:
    return parse_profile(parse_envelope(raw, PROFILE_TYPE).payload if raw[:1] == b"{" else raw)


def show_remarks(profile: FirmwareProfile, output: str) -> list[Remark]:
    """Print what lint says of a profile, and return it."""
    remarks = lint(profile)
    if output == "json":
        show_json(
            [
                {"level": "error" if r.error else "warning", "about": r.about, "text": r.text}
                for r in remarks
            ]
        )
    else:
        show_table(
            ("", "about", ""),
            [("error" if r.error else "warning", r.about, r.text) for r in remarks],
            empty="nothing to complain about",
        )
    return remarks
