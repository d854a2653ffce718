"""Begin again: what a restoration does to a registry, in one transaction."""

from __future__ import annotations

from dataclasses import dataclass

from framegate.errors import Reason, Refused
from framegate.record.fleet_events import RegistryRestored
from framegate.record.merkle import Frontier
from framegate.signed.receipt import Checkpoint
from framegate.signed.restoration import (
    MOST_LEAP,
    REVISION_STEP,
    VERSION_STEP,
    Restoration,
)
from framegate_controller.ca.keys import FleetKeys
from framegate_controller.fleet.masks import sign_masks_anew
from framegate_controller.inspection.models import sign_pins_anew
from framegate_controller.inspection.parts import sign_parts_anew
from framegate_controller.people.policies import sign_policy_anew
from framegate_controller.record.ledger import checkpoint
from framegate_controller.restoration.seen import Seen
from framegate_controller.restoration.withdraw import WHY, Withdrawn, withdraw_all
from framegate_controller.store.ports import EntryQuery, Transaction
from framegate_controller.store.shared.restorations import (
    add_restoration,
    restorations,
    restored_times,
)
from framegate_controller.store.shared.versions import raise_versions


@dataclass(frozen=True, slots=True)
class BegunAgain:
    """What a restoration did: the signed statement, the head that tells of it, the trust revision
    of the backup, and what is void.
    """

    restoration: Restoration
    head: bytes
    revision_before: int
    withdrawn: tuple[Withdrawn, ...]


def begin_again(tx: Transaction, keys: FleetKeys, seen: Seen, source: str) -> BegunAgain:
    """Make the registry of `tx`, as it was at a backup, one that others may follow.

    1. the clock is past everything in it and everything that was seen, and the revision that was
    seen is one that this fleet can have come to; 2. a restoration is signed
    and counted, whose number is above every one that was seen; 3. revisions rise past everything
    seen, and all that is versioned is signed anew above everything that was ever given out; 4. what
    may have been used since is void (`withdraw_all`); 5. the record tells of it, and a head is
    signed over that. Raises Refused.
    """
    _require_later(tx, seen)  # 1
    before, revision_before = tx.log.size(), tx.revision()
    _require_reachable(seen.revision, revision_before)
    kept = _kept(tx, seen, source)
    number = max(restored_times(tx), seen.restorations) + 1
    steps = number - restored_times(tx)  # each one that this backup knows nothing of had its own
    revision = tx.leap(seen.revision, steps * REVISION_STEP)  # 3
    signer = keys.signing["log"]
    restoration = Restoration(
        fleet=keys.fleet,
        number=number,
        kept=kept,
        kept_root=Frontier.resume(kept, tx.log.node).root.hex(),
        seen=max(seen.size, before),
        revision=revision,
        at_ms=signer.dated_ms(tx.now_ms),
    )
    add_restoration(tx, restoration.seal(signer.der, signer.sign))  # 2
    _sign_anew(tx, keys, steps)  # 3
    void = withdraw_all(tx, seen.held(kept), seen.barred(kept))  # 4
    tx.record(
        RegistryRestored(
            number=number,
            kept=kept,
            seen=restoration.seen,
            revision=revision,
            source=source,
            withdrawn=tuple(str(w) for w in void),
        )
    )  # 5
    return BegunAgain(restoration, checkpoint(tx, keys), revision_before, tuple(void))


def _require_later(tx: Transaction, seen: Seen) -> None:
    size = tx.log.size()
    last = tx.log.entries(EntryQuery(), first=size - 1, below=size, most=1)
    if not last:
        hint = "framegate-controller init makes a fleet"
        raise Refused.of(Reason.BACKUP, "a registry of a fleet", "one without a record", hint)
    latest = max(seen.at_ms, last[0].at_ms)
    if tx.now_ms < latest:
        behind = f"{(latest - tx.now_ms) / 1000:g} s before what was signed last"
        hint = "set this machine's clock; is another controller of this fleet at work?"
        raise Refused.of(Reason.CONFLICT, "a clock past all that was signed", behind, hint)


def _require_reachable(seen: int, before: int) -> None:
    """A revision is no more than the word of the host that kept it (N235): one that was made up
    would leave no room for those to come, and revisions never fall.
    """
    if seen - before > MOST_LEAP:
        wanted = f"a trust revision of at most {before + MOST_LEAP}, {MOST_LEAP} past the backup's"
        hint = "leave out the file that says so, and look into the host that it is from"
        raise Refused.of(Reason.BACKUP, wanted, seen, hint)


def _kept(tx: Transaction, seen: Seen, source: str) -> int:
    """How many entries this registry surely shares with every record that was seen: at least one,
    as each began with the same.

    Of a backup all, as it was taken of the record that others saw; unless a head that was kept
    elsewhere tells otherwise, or that record was restored since, and this may be a copy of what was
    given up then. Of a folder that was put back and went on by itself, what the heads kept
    elsewhere have in common with it, or what its last restoration left.
    """
    size, restored = tx.log.size(), restored_times(tx)
    same = {h.size: _is_of(tx, h) for h in seen.heads if 0 < h.size <= size}
    parted = min((n for n, is_same in same.items() if not is_same), default=size + 1)
    if source and parted > size and seen.restorations <= restored:
        return size
    left = max((k.restoration.kept for k in restorations(tx)), default=1)
    return max(
        (n for n, is_same in {left: True, **same}.items() if is_same and n < parted), default=1
    )


def _is_of(tx: Transaction, head: Checkpoint) -> bool:
    return Frontier.resume(head.size, tx.log.node).root.hex() == head.root


def _sign_anew(tx: Transaction, keys: FleetKeys, steps: int) -> None:
    policy = tx.policies.current()
    zones = [tx.models.pin(zone) for zone in tx.models.pinned_zones()]
    versions = [
        policy.version if policy is not None else 0,
        *(pin.sequence for pin in zones if pin is not None),
        *(masks.version for masks in tx.masks.all()),
        *(part.version for part in tx.parts.all(removed=True)),
    ]
    raise_versions(tx, max(versions), steps * VERSION_STEP)
    sign_policy_anew(tx, keys, WHY)
    sign_pins_anew(tx, keys)
    sign_masks_anew(tx, keys)
    sign_parts_anew(tx, keys)
