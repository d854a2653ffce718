"""Facts about machines: what they are, when they last proved it, by whose word."""

from __future__ import annotations

from typing import Final

from framegate.assessment.fact import Case, Shown, Unit, fact, share
from framegate.assessment.reading import MOVES, TRUSTED, Entry, View

FRESH_MS: Final = 3_600_000
"""Nobody's attest interval is longer: a machine that is well has proved itself within it."""
_MOVES: Final = tuple(sorted(MOVES))
_UNPINNED: Final = "proved-unpinned"


@fact("machines-trusted", Unit.SHARE, *_MOVES, zoned=True)
def trusted(view: View) -> Shown:
    """Machines of the plant that are trusted, of all that have joined and are not retired."""
    return share(
        Case(device, entry["to"] == TRUSTED, entry["index"])
        for device, entry in view.machines().items()
    )


@fact("machines-attested", Unit.SHARE, *_MOVES, "attested", zoned=True)
def attested(view: View) -> Shown:
    """Machines of the plant whose TPM proved what they are within the last hour, of all that have
    joined and are not retired.
    """
    return share(_attested(view, device, entry) for device, entry in view.machines().items())


def _attested(view: View, device: str, entry: Entry) -> Case:
    proof = view.proof(device)
    if proof is None:
        return Case(device, good=False, index=entry["index"])
    return Case(device, good=proof.at_ms > view.at_ms - FRESH_MS, index=proof.index)


@fact("machines-pinned", Unit.SHARE, *_MOVES, zoned=True)
def pinned(view: View) -> Shown:
    """Machines of the plant that joined with the endorsement key that their ticket named, or that
    an operator accepted by hand, of all.
    """
    return share(_pinned(view, device, entry) for device, entry in view.machines().items())


def _pinned(view: View, device: str, entry: Entry) -> Case:
    good, index = True, entry["index"]
    for moved in view.reading.moved[device]:
        if moved["at_ms"] > view.at_ms:
            break
        if moved["event"] == _UNPINNED:
            good, index = False, moved["index"]
        elif moved["event"] in {"approved", "replaced"}:
            good, index = True, moved["index"]
    return Case(device, good=good, index=index)


@fact(
    "profiles-signed",
    Unit.SHARE,
    *_MOVES,
    "attested",
    "profile-added",
    "profile-signer-revoked",
    zoned=True,
)
def profiles_signed(view: View) -> Shown:
    """Machines that last proved themselves by a firmware profile whose signer is known and not
    revoked, of all machines of the plant that have proved themselves.
    """
    revoked = {str(e["members"]["signer"]) for e in view.rows("profile-signer-revoked")}
    signers = {
        str(e["members"]["profile"]): str(e["members"].get("signer", ""))
        for e in view.rows("profile-added")
    }
    cases = []
    for device in view.machines():
        proofs = [p for p in view.reading.proofs.get(device, ()) if p.profile]
        last = [p for p in proofs if p.at_ms <= view.at_ms][-1:]
        for proof in last:
            signer = signers.get(proof.profile, "")
            good = bool(signer) and signer not in revoked
            cases.append(Case(device, good=good, index=proof.index))
    return share(cases)


@fact("cameras-masked", Unit.SHARE, *_MOVES, "masks-set", zoned=True)
def masked(view: View) -> Shown:
    """Cameras of the plant whose privacy masks somebody has set, if only to none, of all."""
    masks = {str(e["device"]): e for e in view.rows("masks-set")}
    return share(
        Case(device, device in masks, masks.get(device, entry)["index"])
        for device, entry in view.machines("camera").items()
    )
