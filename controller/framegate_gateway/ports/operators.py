"""The gateway's port for operators: verdicts, pictures, receipts, lineage; and what of the vault
may leave or must be erased.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from typing import Any, Final

from cryptography.hazmat.primitives.serialization import Encoding

from framegate.errors import FramegateError, Reason, Refused, Unavailable
from framegate.wire import sha256
from framegate_gateway.inference.commissioning import measured_rows
from framegate_gateway.inference.golden_learner import GoldenLearner
from framegate_gateway.inference.models import Models
from framegate_gateway.ports.gateway_status import StatusReport
from framegate_gateway.ports.lessons import chosen_frames
from framegate_gateway.ports.operator_access import (
    AuthorisedCall,
    Context,
    OperatorAccess,
    answered,
)
from framegate_gateway.ports.picture_words import badge, caption
from framegate_gateway.receipts.lineage import lineage
from framegate_gateway.receipts.read import Wanted, receipts
from framegate_gateway.trust.feed import TrustView
from framegate_gateway.trust.keys import GatewayKeys
from framegate_gateway.vault.archive import Archive
from framegate_gateway.vault.egress import Egress, ExportRequest
from framegate_gateway.verdicts.journal import KeptFrame
from framegate_proto.edge import abort
from framegate_proto.v1 import framegate_pb2 as pb
from framegate_proto.v1 import framegate_pb2_grpc as rpc

WATCH_BEAT_S: Final = 1.0


class GatewayOperatorService(rpc.GatewayOperatorServicer):
    """Every call establishes that the caller is an operator of this fleet. `egress` is None where
    the archive has no vault.
    """

    def __init__(
        self,
        keys: GatewayKeys,
        view: TrustView,
        models: Models,
        archive: Archive,
        egress: Egress | None = None,
        learner: GoldenLearner | None = None,
        report: StatusReport | None = None,
    ) -> None:
        self._models, self._archive, self._journal = models, archive, archive.journal
        self._egress, self._learner = egress, learner
        self._report = report or StatusReport(
            keys=keys, view=view, models=models, journal=archive.journal
        )
        self._access = OperatorAccess(keys, view, egress)

    async def ListVerdicts(self, request: pb.ListVerdictsRequest, context: Context) -> pb.Verdicts:
        """The latest verdicts, newest first."""
        await self._access.operator(context, "verdict.show", request)
        rows = [
            e
            for v, e in reversed(self._journal.rows)
            if request.device in {"", v.device} and request.outcome in {"", v.outcome}
        ]
        return pb.Verdicts(verdicts=rows[: min(request.limit or 20, 500)])

    async def WatchVerdicts(
        self, request: pb.ListVerdictsRequest, context: Context
    ) -> AsyncIterator[pb.Verdicts]:
        """Verdicts as they are made, and an empty message every second."""
        await self._access.operator(context, "verdict.show", request)
        queue, asked = self._journal.watch(), time.monotonic()
        try:
            while not queue.full():
                if (
                    time.monotonic() - asked > WATCH_BEAT_S
                ):  # on a busy line, too: whoever is disabled sees no more
                    await self._access.operator(context, "verdict.show", request)
                    asked = time.monotonic()
                try:
                    verdict, envelope = await asyncio.wait_for(queue.get(), WATCH_BEAT_S)
                except TimeoutError:
                    yield pb.Verdicts()
                    continue
                if request.device in {"", verdict.device} and request.outcome in {
                    "",
                    verdict.outcome,
                }:
                    yield pb.Verdicts(verdicts=[envelope])
        finally:
            self._journal.unwatch(queue)

    async def Picture(self, request: pb.PictureRequest, context: Context) -> pb.PictureReply:
        """The frame of a recent defect with its boxes, or one that a second look withheld."""
        await self._access.operator(context, "verdict.picture", request)

        async def run() -> pb.PictureReply:
            frame = self._journal.frame(request.verdict_id)
            if frame is None:
                raise Refused.of(
                    Reason.NOT_FOUND,
                    "a DEFECT verdict, or a frame withheld, of the last few",
                    ascii(request.verdict_id[:80]),
                    "framegate verdict list --outcome DEFECT",
                )
            verdict = self._journal.verdict(request.verdict_id)
            lines = caption(verdict, self._models.bundle.name) if verdict is not None else ()
            return pb.PictureReply(
                png=await self._models.engine.picture(
                    frame.image, frame.encoding, frame.defects, lines
                )
            )

        return await answered(context, run)

    async def ShowVerdict(self, request: pb.PictureRequest, context: Context) -> pb.PictureReply:
        """Frame, golden image, boxes and receipt badge of one verdict, out of the vault or of
        memory; or its frame and boxes alone.
        """
        await self._access.operator(context, "verdict.picture", request)

        async def run() -> pb.PictureReply:
            chain = await asyncio.to_thread(self._chain, request.verdict_id)
            if chain["kind"] != "verdict":
                raise Refused.of(
                    Reason.NOT_FOUND, "a verdict", chain["kind"], "framegate verdict list"
                )
            frame = await self._frame(chain)
            if request.frame_only:
                alone = self._models.engine.picture(frame.image, frame.encoding, frame.defects, ())
                return pb.PictureReply(png=await alone)
            return pb.PictureReply(
                png=await self._models.engine.card(
                    frame.image,
                    frame.encoding,
                    frame.defects,
                    frame.part_type,
                    chain["verdict"]["outcome"],
                    badge(chain),
                )
            )

        return await answered(context, run)

    async def Status(self, request: pb.ListRequest, context: Context) -> pb.GatewayStatus:
        """Counts and health, what each camera sent lately, connections."""
        await self._access.operator(context, "gateway.status", request)
        return await self._report.reply()

    async def Receipts(
        self, request: pb.ReceiptsRequest, context: Context
    ) -> AsyncIterator[pb.ReceiptReply]:
        """Receipts, as far as they are signed."""
        credentials = await self._access.operator(context, "receipt.show", request)
        authorities = [a.public_bytes(Encoding.DER) for a in credentials.authorities]
        wanted = Wanted(
            request.id,
            request.part,
            request.camera,
            request.session,
            request.since_ms,
            request.limit,
            request.until_ms,
            request.below,
        )
        rows = receipts(self._archive.receipts, wanted, authorities)
        try:
            while (receipt := await asyncio.to_thread(_next, rows)) is not None:
                yield pb.ReceiptReply(receipt=json.dumps(receipt).encode())
        except FramegateError as error:
            await abort(context, error)
        finally:
            rows.close()  # type: ignore[attr-defined]

    async def Lineage(self, request: pb.LineageRequest, context: Context) -> pb.LineageReply:
        """What stands behind one verdict."""
        await self._access.operator(context, "receipt.show", request)

        async def run() -> pb.LineageReply:
            return pb.LineageReply(
                lineage=json.dumps(await asyncio.to_thread(self._chain, request.id)).encode()
            )

        return await answered(context, run)

    async def ExportFrame(self, request: pb.ExportRequest, context: Context) -> pb.ExportReply:
        """One frame, marked, out of the vault; see `egress`."""
        call = await self._access.authorised(context, "frame.export", request)

        async def run() -> pb.ExportReply:
            egress = self._require_egress()
            if call.dry_run:
                return pb.ExportReply()
            exported = await egress.frame(_export(request, call))
            return pb.ExportReply(
                image=exported.image,
                name=f"{request.id[:32]}.png",
                receipt=exported.receipt,
                quota_left=exported.quota_left,
            )

        return await answered(context, run)

    async def ExportDataset(
        self, request: pb.ExportRequest, context: Context
    ) -> AsyncIterator[pb.ExportReply]:
        """Frames with valid receipts, and a signed manifest last."""
        call = await self._access.authorised(context, "dataset.export", request)
        if call.dry_run:
            return
        try:
            async for item in self._require_egress().dataset(_export(request, call)):
                self._access.standing(context)  # whoever is disabled while it runs takes no more
                yield pb.ExportReply(
                    name=item.name,
                    image=item.image,
                    receipt=item.receipt,
                    manifest=item.manifest,
                )
        except FramegateError as error:
            await abort(context, error)

    async def EraseData(self, request: pb.EraseRequest, context: Context) -> pb.EraseReply:
        """Erase a camera's keys of one day or all."""
        call = await self._access.authorised(context, "data.erase", request)

        async def run() -> pb.EraseReply:
            egress = self._require_egress()
            if call.dry_run:
                return pb.EraseReply()
            keys, frames = await egress.erase(
                call.caller.actor, request.camera, request.day, request.reason
            )
            return pb.EraseReply(keys=keys, frames=frames)

        return await answered(context, run)

    async def LearnGolden(
        self, request: pb.LearnGoldenRequest, context: Context
    ) -> pb.LearnGoldenReply:
        """A golden image out of the next good frames of a part type, or of those that were chosen
        by their verdicts; it leaves the gateway, so it is a leaf, as exports are, where this host
        has a vault.
        """
        call = await self._access.authorised(context, "part.learn", request)

        async def run() -> pb.LearnGoldenReply:
            if self._learner is None:
                raise Unavailable.of(Reason.UNAVAILABLE, "a gateway that learns", "none")
            if call.dry_run:
                return pb.LearnGoldenReply()
            part_type, chosen = request.part_type, tuple(request.verdict_ids)
            if chosen:
                frames = await chosen_frames(chosen, part_type, self._chain, self._frame)
                image, facts = await self._models.engine.learn(frames)
            else:
                async with self._learner.lesson(
                    part_type, request.frames, float(request.timeout_s)
                ) as frames:
                    image, facts = await self._models.engine.learn(frames)
            detail = {
                "part_type": part_type,
                "sha256": sha256(image).hex(),
                "frames": facts["used"],
                "chosen_sha256": sha256("\n".join(chosen).encode()).hex() if chosen else "",
            }
            await self._access.note("golden-learnt", call.caller, detail)
            return pb.LearnGoldenReply(image=image, facts=json.dumps(facts).encode())

        return await answered(context, run)

    async def CommissionPart(
        self, request: pb.CommissionPartRequest, context: Context
    ) -> AsyncIterator[pb.CommissionPartReply]:
        """What second looks measure of the next sound frames of a part type, and how far it is."""
        call = await self._access.authorised(context, "part.commission", request)
        if call.dry_run:
            return
        timeout_s = float(request.timeout_s)
        commissioning, part_type = self._models.commissioning, request.part_type
        try:
            async with aclosing(
                commissioning.collect(part_type, request.frames, timeout_s)
            ) as growing:
                async for now in growing:
                    self._access.standing(context)  # whoever is disabled meanwhile learns no more
                    measured = measured_rows(now) if now.whole else b""
                    yield pb.CommissionPartReply(
                        counted=len(now.rows), left_out=now.left_out, measured=measured
                    )
            detail = {"part_type": part_type, "frames": request.frames}
            await self._access.note("part-commissioned", call.caller, detail)
        except FramegateError as error:
            await abort(context, error)

    async def DataStatus(self, request: pb.ListRequest, context: Context) -> pb.DataStatusReply:
        """What the vault holds."""
        await self._access.operator(context, "data.show", request)
        vault = self._archive.vault
        if vault is None:
            return pb.DataStatusReply(vault=self._archive.locked or "none")
        rows = [
            pb.DataRow(
                camera=h.key.device,
                day=h.key.day,
                outcome=h.key.outcome,
                frames=h.frames,
                bytes=h.bytes,
                erased=h.erased,
                expires_ms=h.expires_ms,
            )
            for h in await asyncio.to_thread(vault.holdings)
        ]
        return pb.DataStatusReply(rows=rows, vault=vault.problem or "open", dropped=vault.dropped)

    def _chain(self, identifier: str) -> dict[str, Any]:
        return lineage(self._archive.receipts, self._models.bundle, identifier)

    async def _frame(self, chain: dict[str, Any]) -> KeptFrame:
        defects, part_type = tuple(chain["verdict"]["defects"]), chain["frame"]["part_type"]
        if self._archive.vault is not None:
            try:
                stored = await asyncio.to_thread(self._archive.vault.get, chain["id"])
                return KeptFrame(stored.image, stored.encoding, defects, part_type)
            except Refused:
                pass  # not kept there: memory may still have it
        frame = self._journal.frame(chain["id"])
        if frame is None:
            raise Refused.of(
                Reason.NOT_FOUND,
                "the frame of this verdict",
                "none kept: no vault, past its time, or erased",
                "framegate data status",
            )
        return frame

    def _require_egress(self) -> Egress:
        if self._egress is None:
            raise self._archive.shut()
        return self._egress


def _export(request: pb.ExportRequest, call: AuthorisedCall) -> ExportRequest:
    return ExportRequest(
        call.caller.actor,
        request.id,
        request.camera,
        request.since_ms,
        request.limit,
        request.reason,
        request.destination,
        call.allowed.approved_by,
        f"{call.allowed.policy} {','.join(call.allowed.policies)}",
    )


def _next(rows: Iterator[dict[str, Any]]) -> dict[str, Any] | None:
    return next(rows, None)
