"""Kinds of payloads that are not Framegate's own: each is a package, named in a program's settings,
whose module `kind` has its `KIND`.

Whatever is named here is code of that program, in an attested process: a gateway's digest covers
it, and a folder that anybody may write is refused by nothing but its owner's care.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Final

from framegate.errors import Reason, Unavailable
from framegate.payload.contract import ExaminedPayload
from framegate.payload.kinds import Kinds
from framegate_host.setting_values import Form

PACKAGE_NAME: Final = Form(
    "a package's name", r"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*"
)


def load_kinds(packages: Sequence[str]) -> Kinds:
    """Framegate's own kinds, and those of `packages`. Raises Unavailable (PAYLOAD) where one is not
    installed or is no kind, Malformed (PAYLOAD) where one takes what is another's.
    """
    return Kinds([_kind_of(package) for package in packages])


def _kind_of(package: str) -> ExaminedPayload:
    try:
        kind = import_module(f"{package}.kind").KIND
    except (ImportError, AttributeError) as error:
        wanted, hint = f"a kind of payload in {package}", "is it installed? has it a KIND?"
        raise Unavailable.of(Reason.PAYLOAD, wanted, str(error)[:200], hint) from error
    if not isinstance(kind, ExaminedPayload) or kind.module != package:
        wanted = f"a kind of payload in {package}, with all that one needs"
        raise Unavailable.of(Reason.PAYLOAD, wanted, type(kind).__name__)
    return kind
