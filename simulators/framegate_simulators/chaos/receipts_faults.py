"""Faults of a gateway between a frame and its verdict: it is killed, its disk fills up or is
read-only when it starts, its clock is set, a page of its receipts is damaged. What left as PASS was
inspected, and its receipt is on the disk.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from framegate.errors import FramegateError, Reason, Unavailable
from framegate.signed.dsse import parse_envelope
from framegate.signed.statement import Outcome as Ruling
from framegate.signed.statement import Verdict
from framegate_controller.ca.keys import FleetKeys
from framegate_gateway.admission.admitted import OpenedFrame
from framegate_gateway.admission.link import CameraLink
from framegate_gateway.inference.bundle import DEFAULT_BUNDLE, load_bundle
from framegate_gateway.inference.inspection import Inspection
from framegate_gateway.inference.models import Models
from framegate_gateway.inference.parts import GoldenImages
from framegate_gateway.receipts.batches import sign_one
from framegate_gateway.receipts.store import AGAIN_S, ReceiptStore
from framegate_gateway.trust.feed import TrustView
from framegate_gateway.trust.keys import GatewayKeys
from framegate_gateway.verdicts.journal import Journal
from framegate_gateway.verdicts.maker import VerdictMaker
from framegate_simulators.chaos.disk import SmallDisk
from framegate_simulators.chaos.forked import Forked, Say
from framegate_simulators.chaos.kept_receipts import KeptReceipts
from framegate_simulators.chaos.outcome import Outcome
from framegate_simulators.chaos.registry_faults import (
    HOUR_MS,
    Run,
    damage,
    refusal_said,
    was_refused,
)
from framegate_simulators.fixtures.camera import SoftwareCamera
from framegate_simulators.fixtures.frames import captured
from framegate_simulators.fixtures.gateway import CAMERA, warranted

FRAMES: Final = 40
BREATH_S: Final = 0.01
ROOM: Final = 24 * 1024
SEEN: Final = Inspection((), "aa", 100)


class GatewayCell:
    """A gateway's keys, feed, link and receipts, without its ports and its model."""

    def __init__(self, fleet: FleetKeys, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.camera = SoftwareCamera(folder, fleet)
        self.models = Models(load_bundle(DEFAULT_BUNDLE), GoldenImages(()))
        digest = self.models.bundle.digest
        self.keys: GatewayKeys
        self.view: TrustView
        self.keys, self.view = warranted(fleet, self.camera.certificate, digest)
        self.link = CameraLink(self.camera.certificate, self.keys, self.view)
        self.session = self.camera.session(self.link.offer(), self.keys.newest.publics)
        signed = self.session.opening(self.camera)
        self.link.open(signed.opening, signed.signature)

    async def live(self, store: ReceiptStore, say: Say, numbers: Sequence[int]) -> None:
        """Answer frames, as the frames port does, and sign what has gathered now and then."""
        maker = VerdictMaker(self.keys, self.view, self.models, Journal(), None, store)
        certificate = self.link.session_certificate()
        store.opened(self.link.opened, CAMERA, certificate, self.view.now_ms())
        for number in numbers:
            say({"asked": number})
            image = b"image %05d" % number
            sealed = self.session.seal(captured(number, len(image)), image)
            opened = self.link.open_frame(sealed.metadata, sealed.sealed)
            envelope = await self._ruled(maker, opened)
            self.session.owed.answered(opened.counter)
            verdict = Verdict.parse_payload(parse_envelope(envelope, Verdict.TYPE).payload)
            body = {"answered": number, "id": verdict.verdict_id, "outcome": verdict.outcome}
            say(body)
            if number % 7 == 0:
                with contextlib.suppress(sqlite3.Error):  # as `sign_batches` does: the next time
                    await asyncio.to_thread(_signed_all, store, self)

    async def _ruled(self, maker: VerdictMaker, opened: OpenedFrame) -> bytes:
        """The verdict on a frame, as the frames port has it made."""
        try:
            admitted = self.link.admit(opened)
        except FramegateError as error:
            return await maker.uninspected(opened.metadata, error.reason, opened.counter)
        try:
            return await maker.inspected(admitted, SEEN, 1.0)
        except Unavailable as error:
            if error.reason != Reason.RECEIPT:
                raise
            why = Reason.RECEIPT
        return await maker.uninspected(opened.metadata, why, opened.counter, admitted)


def killed(run: Run) -> Outcome:
    """kill -9 a gateway between a frame and its verdict's way out."""
    cell = GatewayCell(run.founded.keys, run.folder)

    def living(say: Say) -> None:
        store = ReceiptStore(run.folder / "state")
        asyncio.run(cell.live(store, say, range(FRAMES)))
        store.close()

    child = Forked(living)
    child.killed_at(run.chance, lines=FRAMES, breath_s=BREATH_S)
    return _judged(cell, run.folder / "state", child, "killed", child.fell())


def disk_full(run: Run) -> Outcome:
    """The disk of its receipts fills up while it lives, and somebody makes room: it goes on by
    itself.
    """
    cell = GatewayCell(run.founded.keys, run.folder)

    def living(say: Say) -> None:
        disk = SmallDisk(run.folder / "disk")
        store = ReceiptStore(disk.folder / "state")

        async def live() -> None:
            await cell.live(store, say, range(5))
            disk.leave(ROOM)
            await cell.live(store, say, range(5, 5 + 2 * FRAMES))
            disk.empty()
            say({"mended": True})
            end = time.monotonic() + 10 * AGAIN_S
            number = 1000
            while store.failed and time.monotonic() < end:
                await cell.live(store, say, [number])
                number += 1
                await asyncio.sleep(AGAIN_S / 10)
            say({"again": not store.failed})
            await cell.live(store, say, range(2000, 2005))

        asyncio.run(live())
        store.close()
        _copied(disk.folder / "state", run.folder / "state")

    child = Forked(living)
    child.ended()
    problems = child.fell()
    again = [line["again"] for line in child.lines if "again" in line]
    if again != [True]:
        problems += ("it did not go on when there was room again",)
    outcomes = [line["outcome"] for line in child.lines if "outcome" in line]
    if outcomes[-5:] != [Ruling.PASS.value] * 5:
        problems += (f"frames after it was mended are {outcomes[-5:]}",)
    refused = Ruling.UNINSPECTED.value in outcomes
    became = "uninspected, went on" if refused else "nothing refused"
    return _judged(cell, run.folder / "state", child, became, problems)


def disk_read_only(run: Run) -> Outcome:
    """The disk of its receipts is read-only when it starts again, and later is not."""
    cell = GatewayCell(run.founded.keys, run.folder)

    def living(say: Say) -> None:
        disk = SmallDisk(run.folder / "disk")
        state = disk.folder / "state"
        _lived(cell, state, say, range(5))
        disk.writable(may=False)
        try:
            _lived(cell, state, say, range(5, 10))
        except (FramegateError, OSError, sqlite3.Error) as error:
            say({"refused": f"{type(error).__name__}: {error}"[:200]})
        disk.writable(may=True)
        _lived(cell, state, say, range(10, 15))
        _copied(state, run.folder / "state")

    child = Forked(living)
    child.ended()
    refused = any("refused" in line for line in child.lines)
    became = "refused, went on" if refused else "went on"
    return _judged(cell, run.folder / "state", child, became, child.fell())


def damaged_page(run: Run) -> Outcome:
    """A page of its receipts is damaged while it does not run: the file is refused, or what is in
    it still holds. With the file moved away it goes on.
    """
    cell = GatewayCell(run.founded.keys, run.folder)
    state = run.folder / "state"
    before = Forked(lambda say: _lived(cell, state, say, range(FRAMES)))
    before.ended()
    how = damage(state / "receipts.db", run.chance)

    def living(say: Say) -> None:
        with refusal_said(say):
            _lived(cell, state, say, range(FRAMES, FRAMES + 5))

    child = Forked(living)
    child.ended()
    problems = before.fell() + child.fell()
    if was_refused(child):
        again = Forked(lambda say: _lived(cell, run.folder / "new", say, range(2000, 2005)))
        again.ended()
        return _judged(cell, run.folder / "new", again, f"{how}: refused", problems)
    child.lines[:0] = before.lines
    return _judged(cell, state, child, f"{how}: not touched", problems)


def clock_forward(run: Run) -> Outcome:
    """Its clock is set an hour forward; the next word of its controller sets that right."""
    return _clock_set(run, HOUR_MS)


def clock_back(run: Run) -> Outcome:
    """Its clock is set an hour back."""
    return _clock_set(run, -HOUR_MS)


def _clock_set(run: Run, by_ms: int) -> Outcome:
    """Between frames at any instant; until the feed's next message, what is issued bears a wrong
    time.
    """
    cell = GatewayCell(run.founded.keys, run.folder)

    def living(say: Say) -> None:
        store = ReceiptStore(run.folder / "state")
        at = run.chance.randrange(1, FRAMES)
        asyncio.run(cell.live(store, say, range(at)))
        cell.view.clock_offset_ms += by_ms
        asyncio.run(cell.live(store, say, range(at, FRAMES)))
        cell.view.clock_offset_ms -= by_ms
        asyncio.run(cell.live(store, say, range(2000, 2005)))
        store.close()

    child = Forked(living)
    child.ended()
    problems = child.fell()
    outcomes = [line["outcome"] for line in child.lines if "outcome" in line]
    if outcomes[-5:] != [Ruling.PASS.value] * 5:
        problems += (f"frames after it was set right are {outcomes[-5:]}",)
    return _judged(cell, run.folder / "state", child, "set", problems)


def _lived(cell: GatewayCell, state: Path, say: Say, numbers: Sequence[int]) -> None:
    """A process's life on these receipts. Raises as a start does."""
    store = ReceiptStore(state)
    try:
        asyncio.run(cell.live(store, say, numbers))
    finally:
        store.close()


def _copied(state: Path, to: Path) -> None:
    to.mkdir(mode=0o700)
    for file in state.iterdir():
        (to / file.name).write_bytes(file.read_bytes())
        (to / file.name).chmod(0o600)


def _signed_all(store: ReceiptStore, cell: GatewayCell) -> None:
    while sign_one(store, cell.keys, cell.view.now_ms):
        pass


def _judged(
    cell: GatewayCell, folder: Path, child: Forked, became: str, problems: tuple[str, ...]
) -> Outcome:
    """Open it as a gateway that was started again, sign what was left, and hold it against what
    was said.

    1. each PASS that left has its leaf once, with its own verdict; 2. nothing has a leaf twice, and
    nothing that was not asked for has one; 3. batches follow each other without a gap, each leaf is
    in one, and its root is theirs.
    """
    begun, found = time.monotonic(), list(problems)
    store = ReceiptStore(folder)
    try:
        _signed_all(store, cell)
    finally:
        store.close()
    kept = KeptReceipts.of(folder / "receipts.db")
    asked = [line["asked"] for line in child.lines if "asked" in line]
    answered: list[Mapping[str, Any]] = [line for line in child.lines if "answered" in line]
    found += kept.problems(all_signed=True)  # 2, 3
    passed = [one["id"] for one in answered if one["outcome"] == Ruling.PASS.value]
    found += [f"PASS {one} has no receipt" for one in passed if one not in kept.ids]  # 1
    if len(kept.leaves) > len(asked):
        found.append(f"{len(kept.leaves)} leaves for {len(asked)} frames")  # 2
    healed_ms = 1e3 * (time.monotonic() - begun)
    return Outcome(became, len(asked), len(answered), healed_ms, tuple(found))
