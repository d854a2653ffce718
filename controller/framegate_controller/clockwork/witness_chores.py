"""A chore for each witness of the log of decisions: one that is slow holds up no other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from framegate_controller.clockwork.cosigning import ASK_S, Cosigning
from framegate_controller.clockwork.run import Chore, Duties, Work
from framegate_controller.context import Fleet
from framegate_controller.settings import Cosigner
from framegate_controller.store.ports import Store


def cosigning_chores(
    duties: Duties, fleet: Fleet, cosigners: Sequence[Cosigner]
) -> Iterator[Chore]:
    """One for each witness, of whichever controller has the duty."""
    for cosigner in cosigners:
        key = cosigner.key
        yield duties.chore(f"witness {key.name}", ASK_S, _turns(fleet, cosigner))


def _turns(fleet: Fleet, cosigner: Cosigner) -> Callable[[Store], Work]:
    # a controller without witnesses starts without what speaks HTTP to them
    from framegate_controller.clockwork.witness_http import asking  # noqa: PLC0415

    return lambda store: Cosigning(store, fleet, cosigner.key, asking(cosigner.address)).turn
