"""What leaves the vault, and on what terms: a reason, an allowed destination, a quota, masks in
force, a mark. Every attempt is a leaf first.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from cryptography.hazmat.primitives.serialization import Encoding

from framegate.errors import FramegateError, Reason, Refused
from framegate.identity.certificates import Purpose
from framegate.receipt_verifier import ReceiptRefused, verify_receipt
from framegate.signed.statement import Statement
from framegate.wire import sha256
from framegate_gateway.inference.models import Models
from framegate_gateway.receipts.batches import new_identifier
from framegate_gateway.receipts.read import Wanted, find, receipts
from framegate_gateway.trust.keys import GatewayKeys
from framegate_gateway.vault.archive import Archive
from framegate_gateway.vault.frames import StoredFrame
from framegate_gateway.verdicts.maker import VerdictMaker

DAY_MS: Final = 86_400_000
MAX_REASON: Final = 500
"""Characters of a reason; it is kept for ever."""
MAX_DATASET: Final = 1_000
"""Frames of one manifest; more are asked for by time."""


@dataclass(frozen=True, slots=True)
class EgressRules:
    """`destinations` frames may go to (empty: none may leave), and how many frames an operator may
    take in 24 hours.
    """

    destinations: frozenset[str] = frozenset()
    quota: int = 100


@dataclass(frozen=True, slots=True)
class DatasetManifest(Statement):
    """What a gateway gave out as a data set: `frames` [{name, sha256, receipt_sha256, verdict_id,
    outcome, device}].
    """

    gateway: str
    actor: str
    reason: str
    destination: str
    made_at_ms: int
    frames: tuple[dict[str, Any], ...]
    refused: int

    TYPE: ClassVar[str] = "application/vnd.framegate.dataset+json"
    PURPOSE: ClassVar[Purpose] = Purpose.VERDICT


@dataclass(frozen=True, slots=True)
class ExportRequest:
    """Who wants what, why, and where it goes."""

    actor: str
    identifier: str
    camera: str
    since_ms: int
    limit: int
    reason: str
    destination: str
    approved_by: tuple[str, ...] = ()
    policy: str = ""


Exported = Callable[[ExportRequest, int], None]


@dataclass(frozen=True, slots=True)
class ExportedFrame:
    """One verdict's frame as it leaves: a PNG with its mark, its receipt as JSON, and how many
    frames of the quota are left.
    """

    image: bytes
    receipt: bytes
    quota_left: int


@dataclass(frozen=True, slots=True)
class DatasetItem:
    """A frame of a data set with its receipt as JSON; the last item is the signed manifest,
    alone.
    """

    name: str = ""
    image: bytes = b""
    receipt: bytes = b""
    manifest: bytes = b""


class Egress:
    """The one door out of the vault."""

    def __init__(
        self,
        archive: Archive,
        maker: VerdictMaker,
        models: Models,
        keys: GatewayKeys,
        rules: EgressRules,
        now_ms: Callable[[], int],
        told: Exported = lambda _request, _frames: None,
    ) -> None:
        """`told` is told of what left without anybody's approval. Raises Unavailable (VAULT) where
        the archive has no vault.
        """
        self._vault, self._store, self._journal = (
            archive.open_vault(),
            archive.receipts,
            archive.journal,
        )
        self._maker, self._models, self._keys, self._rules = maker, models, keys, rules
        self._now_ms, self._told = now_ms, told
        self._counting = asyncio.Lock()

    async def frame(self, request: ExportRequest) -> ExportedFrame:
        """One verdict's frame. Raises Refused; the attempt is on record either way."""
        try:
            await asyncio.to_thread(self._allowed, request, 1)
            row = await asyncio.to_thread(find, self._store, request.identifier)
            stored = await asyncio.to_thread(self._masked, row.id)
            receipt = await asyncio.to_thread(self._receipt, row.id)
        except FramegateError as error:
            await self._record("frame-export-refused", request, reason_id=error.reason.value)
            raise
        left = await self._count(request, 1)
        self._tell(request, 1)
        await self._record(
            "frame-export",
            request,
            verdict=stored.id,
            device=stored.device,
            part=stored.part,
            frame_sha256=sha256(stored.image).hex(),
        )
        lines = [
            f"Framegate export  receipt {stored.id}",
            f"{stored.device}  part {stored.part}  {stored.outcome}",
            f"to {request.destination} by {request.actor}",
        ]
        picture = await self._models.engine.marked(stored.image, stored.encoding, lines)
        return ExportedFrame(picture, json.dumps(receipt).encode(), left)

    async def dataset(self, request: ExportRequest) -> AsyncIterator[DatasetItem]:
        """A camera's frames, each with a receipt that verifies here and now; the signed manifest
        comes last, alone.
        """
        try:
            identifiers = await asyncio.to_thread(self._asked_for, request)
        except FramegateError as error:
            await self._record("dataset-export-refused", request, reason_id=error.reason.value)
            raise
        await self._count(request, len(identifiers))
        self._tell(request, len(identifiers))
        await self._record("dataset-export", request, frames=len(identifiers))
        frames: list[dict[str, Any]] = []
        refused = 0
        for identifier in identifiers:
            try:
                stored = await asyncio.to_thread(self._masked, identifier)
                receipt = await asyncio.to_thread(self._proved, identifier)
            except (FramegateError, ReceiptRefused):
                refused += 1  # not trusted: it does not become training data
                continue
            name = f"{stored.id}.{'jpg' if stored.encoding == 1 else 'png'}"
            raw = json.dumps(receipt, sort_keys=True).encode()
            frames.append(
                {
                    "name": name,
                    "sha256": sha256(stored.image).hex(),
                    "receipt_sha256": sha256(raw).hex(),
                    "verdict_id": stored.id,
                    "outcome": stored.outcome,
                    "device": stored.device,
                }
            )
            yield DatasetItem(name, stored.image, raw)
        credentials = self._keys.credentials
        if credentials is None:
            raise Refused.of(
                Reason.NOT_TRUSTED,
                "a host in standing, to sign the manifest",
                self._keys.refused or "no warrant",
            )
        manifest = DatasetManifest(
            credentials.device,
            request.actor,
            request.reason,
            request.destination,
            self._now_ms(),
            tuple(frames),
            refused,
        )
        envelope = manifest.seal(
            credentials.verdict.public_bytes(Encoding.DER), self._keys.sign_verdict
        )
        yield DatasetItem(manifest=envelope)

    def _tell(self, request: ExportRequest, frames: int) -> None:
        """What took an approval is in the fleet's record by that."""
        if not request.approved_by:
            self._told(request, frames)

    def _asked_for(self, request: ExportRequest) -> list[str]:
        """Ids of the frames of a data set. Raises Refused where they may not leave, or there are
        none.
        """
        self._allowed(request, 1)
        limit = min(request.limit or 100, MAX_DATASET)
        identifiers = self._vault.identifiers(request.camera, request.since_ms, limit)
        if not identifiers:
            wanted = f"frames of {request.camera} in the vault"
            raise Refused.of(Reason.NOT_FOUND, wanted, "none", "framegate data status")
        self._allowed(request, len(identifiers))
        return identifiers

    async def erase(self, actor: str, camera: str, day: str, reason: str) -> tuple[int, int]:
        """Erase a camera's keys and say so for ever. (keys, frames)."""
        _require_reason(reason)
        keys, frames = await asyncio.to_thread(
            self._vault.erase, camera, day, actor, self._now_ms()
        )
        if not keys:
            raise Refused.of(
                Reason.NOT_FOUND,
                f"frames of {camera} {day}".rstrip(),
                "none",
                "framegate data status",
            )
        self._journal.forget(camera)
        await self._maker.event(
            new_identifier(),
            "data-erased",
            actor,
            {"device": camera, "day": day, "reason": reason, "keys": keys, "frames": frames},
        )
        return keys, frames

    def _allowed(self, request: ExportRequest, frames: int) -> None:
        """1. a reason;
        2. a destination on the list;
        3. within the quota.

        Raises Refused (USAGE, EXPORT, EXPORT_QUOTA).
        """
        _require_reason(request.reason)  # 1
        if request.destination not in self._rules.destinations:  # 2
            allowed = (
                ", ".join(sorted(self._rules.destinations))
                or "none: framegate-gateway run --export-to NAME"
            )
            raise Refused.of(
                Reason.EXPORT,
                f"a destination that is allowed ({allowed})",
                ascii(request.destination[:80]),
            )
        used = self._vault.exported_since(request.actor, self._now_ms() - DAY_MS)
        if used + frames > self._rules.quota:  # 3
            raise Refused.of(
                Reason.EXPORT_QUOTA,
                f"at most {self._rules.quota} frames in 24 hours",
                f"{used} taken, {frames} more asked for",
                "wait, or have the quota raised",
            )

    async def _count(self, request: ExportRequest, frames: int) -> int:
        async with self._counting:  # two requests at once do not both fit into the last place
            await asyncio.to_thread(self._allowed, request, frames)
            now = self._now_ms()
            await asyncio.to_thread(self._vault.count_export, request.actor, frames, now)
            return self._rules.quota - await asyncio.to_thread(
                self._vault.exported_since, request.actor, now - DAY_MS
            )

    def _masked(self, identifier: str) -> StoredFrame:
        """The frame, if it was taken under the newest masks its camera has: an old, unmasked one
        stays where it is. Raises Refused.
        """
        stored = self._vault.get(identifier)
        newest = self._vault.newest_masks(stored.device)
        if stored.mask_version < newest:
            raise Refused.of(
                Reason.MASK,
                f"a frame under masks of version {newest}",
                f"version {stored.mask_version}",
                "frames from before a mask do not leave",
            )
        return stored

    def _receipt(self, identifier: str) -> dict[str, Any]:
        credentials = self._keys.credentials
        authorities = (
            [a.public_bytes(Encoding.DER) for a in credentials.authorities] if credentials else []
        )
        return next(receipts(self._store, Wanted(id=identifier), authorities))

    def _proved(self, identifier: str) -> dict[str, Any]:
        credentials = self._keys.credentials
        if credentials is None:
            raise Refused.of(
                Reason.NOT_TRUSTED, "a host in standing", self._keys.refused or "no warrant"
            )
        receipt = self._receipt(identifier)
        verify_receipt(receipt, credentials.root.public_bytes(Encoding.PEM))
        return receipt

    async def note(self, event: str, actor: str, detail: dict[str, Any]) -> None:
        """A leaf for something else that an operator did or was denied."""
        await self._maker.event(new_identifier(), event, actor, detail)

    async def _record(self, event: str, request: ExportRequest, **detail: Any) -> None:
        body = {
            "destination": request.destination[:80],
            "reason": request.reason[:MAX_REASON],
            "asked": request.identifier[:64] or request.camera[:200],
            **detail,
        }
        body |= {"approved_by": list(request.approved_by), "policy": request.policy}
        await self._maker.event(new_identifier(), event, request.actor, body)


def _require_reason(reason: str) -> None:
    if not reason.strip() or len(reason) > MAX_REASON:
        raise Refused.of(
            Reason.USAGE,
            f"a reason of 1 to {MAX_REASON} characters",
            "none" if not reason.strip() else f"{len(reason)} characters",
            "--reason TEXT",
        )
