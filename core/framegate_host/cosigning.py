"""The settings of whoever demands that decisions were logged and cosigned."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Final

from framegate.errors import Failure, FramegateError, Reason
from framegate.transparency.cosignature import MAX_WITNESSES, Quorum
from framegate.transparency.note import parse_note_key
from framegate_host.setting_records import Settings
from framegate_host.setting_values import Form, Setting

NOTE_KEY: Final = Form("NAME+ID+KEY", r"[^\s+]+\+[0-9a-f]{8}\+[A-Za-z0-9+/=]+")
MAX_HOURS: Final = 24 * 366
Cosigners = Annotated[
    tuple[str, ...],
    Setting(
        "Key of a witness of the log of decisions, as framegate witness init prints it.",
        form=NOTE_KEY,
        example=("witness.example.net+0c7ffe41+BAwtU0Vv1Sdf6rPjQ8TUIdYySIPq0DR4sJ4Yfyd5wlyn",),
    ),
]
RequireCosigned = Annotated[
    int,
    Setting(
        "How many of these witnesses must have seen a policy, a profile or a model in the log "
        "before it is trusted here; 0: that is not demanded.",
        least=0,
        most=MAX_WITNESSES,
    ),
]
CosignedWithin = Annotated[
    int,
    Setting(
        "How old their cosignatures may be; the controller fetches new ones every hour.",
        unit="h",
        least=2,
        most=MAX_HOURS,
    ),
]


def quorum_of(require: int, cosigners: Sequence[str], within_h: int) -> Quorum | None:
    """What is demanded, None where nothing is. Raises Malformed."""
    if not require:
        return None
    return Quorum(require, tuple(parse_note_key(text) for text in cosigners), within_h * 3600)


def cosigning_problems(
    settings: Settings, require: int, cosigners: Sequence[str]
) -> Iterator[Failure]:
    """That there are as many witnesses as are demanded, each key once; and that keys are there to
    demand something.
    """
    if require and not cosigners:
        hint = "their keys: framegate witness list"
        yield settings.beside("cosigner", f"--require-cosigned {require}", hint)
    elif cosigners and not require:
        yield settings.beside(
            "require_cosigned", "--cosigner", "how many of them must have seen it"
        )
    elif require:
        try:
            quorum_of(require, cosigners, 2)
        except FramegateError as error:
            first = error.failures[0]
            hint = first.hint or "framegate witness list"
            yield Failure(Reason.USAGE, f"--cosigner: {first.expected}", first.actual, hint)
