"""The models of a gateway process: one in force, one on its way out while grants still name it.

A swap drops no frame: the coming model proves itself in a child of its own first; then new grants
name it, and each frame is inspected by the model its camera's grant names, until the last grant of
the old one has run out.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final

from framegate.errors import FramegateError, Reason, Refused, Unavailable
from framegate.findings.kinds import FindingKind
from framegate_gateway.inference.attested_model import AttestedBackend, AttestedModel
from framegate_gateway.inference.bundle import Bundle
from framegate_gateway.inference.commissioning import Commissioning
from framegate_gateway.inference.engine import WATCH_S, ChildTold, Engine, nobody
from framegate_gateway.inference.inspection import Inspection
from framegate_gateway.inference.jobs import CameraFrame
from framegate_gateway.inference.parts import Parts
from framegate_gateway.inference.providers import ON_CPU, Host
from framegate_gateway.inference.remote import Backend, RemoteEngine, RemoteModel, UnattestedModel
from framegate_host.watchdog import Outstanding

log = logging.getLogger(__name__)
OUTGOING_S: Final = 180.0
"""How long a model that was replaced stays ready: as long as a grant that names it may run (120 s),
and a little for frames on the way.
"""

INSPECTED_MOST_S: Final = 90.0
"""From a frame's admission to its answer where everything takes its longest: a child that is silent
for 10 s and started anew in 30, and the queue of all cameras before it.
"""


class Models:
    """Engines by the digest of their bundle. `failed` is told when one deviates from its known
    answers and is stopped.

    `allowed`: digests (hex) that may inspect, None before the first pin.
    """

    def __init__(
        self,
        bundle: Bundle,
        parts: Parts,
        threads: int = 2,
        backend: Backend | AttestedBackend | None = None,
        failed: Callable[[Bundle, FramegateError], Awaitable[None]] | None = None,
        watch_s: float = WATCH_S,
        host: Host = ON_CPU,
    ) -> None:
        self._host, self.kinds = host, host.kinds
        self.told: ChildTold = nobody
        """Told when a child dies, and when it runs again."""
        self.commissioning = Commissioning()
        self._parts, self._threads, self._backend, self._failed, self._watch_s = (
            parts,
            threads,
            backend,
            failed,
            watch_s,
        )
        self.engine = self._engine(bundle)
        self.under_way = Outstanding("inspection", INSPECTED_MOST_S)
        self.allowed: frozenset[str] | None = None
        self._engines: dict[str, Engine] = {bundle.digest.hex(): self.engine}
        self._tasks: dict[str, list[asyncio.Task[Any]]] = {}
        self._ending: set[asyncio.Task[None]] = set()

    @property
    def bundle(self) -> Bundle:
        """The bundle in force."""
        return self.engine.bundle

    @property
    def unapproved(self) -> bool:
        """Whether the model in force is none that the zone's pin allows."""
        return self.allowed is not None and self.bundle.digest.hex() not in self.allowed

    @property
    def barred(self) -> FramegateError | None:
        """Why the model in force inspects nothing: it is not allowed, or was stopped. None where it
        does.
        """
        if self.unapproved:
            return _unapproved(self.bundle.digest.hex())
        return self.engine.stopped

    def bundle_of(self, digest: str) -> Bundle:
        """The bundle with this digest (hex), or the one in force where it is not ready here."""
        return (self._engines.get(digest) or self.engine).bundle

    def name_of(self, digest: str) -> str:
        """The model's name and version as receipts have it, and where it ran if that was elsewhere,
        attested (N213) or not (N122).
        """
        name, backend = self.bundle_of(digest).name, self._backend
        if isinstance(backend, AttestedBackend):
            return f"{name} attested-backend {backend.standing.id}"
        return name if backend is None else f"{name} unattested-backend {backend.address}"

    @property
    def needs_standing(self) -> bool:
        """Whether the model can be started only after this gateway's own host was attested."""
        return isinstance(self._backend, AttestedBackend)

    def isolation_of(self, digest: str) -> str:
        """How the child of this model is confined, as receipts have it: it begins with `unconfined`
        where that was not demanded (N127).
        """
        return (self._engines.get(digest) or self.engine).isolation

    def provider_of(self, digest: str) -> str:
        """By which execution provider of the runtime this model runs, "" where it runs
        elsewhere.
        """
        return (self._engines.get(digest) or self.engine).provider

    def _engine(self, bundle: Bundle) -> Engine:
        parts, threads, told = self._parts, self._threads, self._tell
        unconfined, provider = self._host.unconfined, self._host.provider
        if self._backend is None:
            return Engine(
                bundle,
                parts,
                threads,
                unconfined=unconfined,
                told=told,
                provider=provider,
            )
        if bundle.recipe.examined is not None:
            raise Unavailable.of(
                Reason.MODEL,
                "a model of pictures for a model server",
                f"one of kind {bundle.recipe.payload}",
                "run it on this host: a gateway without --backend",
            )
        model = _remote(self._backend)
        return RemoteEngine(bundle, parts, threads, model, unconfined=unconfined, told=told)

    def _tell(self, kind: FindingKind, said: str) -> None:
        self.told(kind, said)

    async def start(self) -> None:
        """Start the first model. Raises Unavailable or Refused where it does not prove itself."""
        await self.engine.start()
        self._serve(self.engine)

    async def replace(self, bundle: Bundle, switched: Callable[[], None]) -> None:
        """Put another bundle in force: it starts and proves itself beside the present one, then
        `switched` is called between two frames.

        Raises Unavailable or Refused where it does not; the present model then goes on.
        """
        digest = bundle.digest.hex()
        if digest == self.bundle.digest.hex() and self.engine.stopped is None:
            switched()
            return
        coming = self._engines.get(digest)
        if coming is None or coming.stopped is not None:
            coming = self._engine(bundle)
            await coming.start()
            self._serve(coming)
        before, self.engine = self.engine, coming
        self._engines[digest] = coming
        switched()
        if before is not coming:
            task = asyncio.create_task(self._end(before))
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)

    async def inspect(self, digest: str, frame: CameraFrame) -> Inspection:
        """Inspect by the model with this digest (hex), which a grant names. Raises as
        `Engine.inspect`, and Refused (MODEL) where it is no longer ready here.
        """
        if (
            self.allowed is not None and digest not in self.allowed
        ):  # a grant from before the pin: its model may have been swapped for good reason
            raise _unapproved(digest)
        engine = self._engines.get(digest)
        if engine is None:
            raise Refused.of(
                Reason.MODEL,
                f"the model {self.bundle.digest.hex()[:16]} in force",
                f"a grant for {digest[:16]}",
                "the camera gets a new grant",
            )
        measure = self.commissioning.wants(frame.part_type)
        with self.under_way.one():
            return await engine.inspect(frame, measure=measure)

    async def stop(self) -> None:
        """End every child."""
        for task in [*self._ending, *(t for tasks in self._tasks.values() for t in tasks)]:
            task.cancel()
        for engine in list(self._engines.values()):
            await engine.stop()

    def _serve(self, engine: Engine) -> None:
        async def failed(error: FramegateError) -> None:
            if self._failed is not None:
                await self._failed(engine.bundle, error)

        self._tasks[engine.bundle.digest.hex()] = [
            asyncio.create_task(engine.run()),
            asyncio.create_task(engine.watch(failed, self._watch_s)),
        ]

    async def _end(self, engine: Engine) -> None:
        await asyncio.sleep(OUTGOING_S)
        digest = engine.bundle.digest.hex()
        if engine is self.engine or self._engines.get(digest) is not engine:
            return
        del self._engines[digest]
        for task in self._tasks.pop(digest, []):
            task.cancel()
        await engine.stop()
        log.warning("model %s ended: no grant names it any more", digest[:16])


def _remote(backend: Backend | AttestedBackend) -> RemoteModel:
    if isinstance(backend, AttestedBackend):
        return AttestedModel(backend)
    return UnattestedModel(backend)


def _unapproved(digest: str) -> Refused:
    return Refused.of(
        Reason.MODEL,
        "an approved model",
        f"{digest[:16]}, which nobody approved",
        "put the pinned bundle in --models; cameras get new grants by themselves",
    )
