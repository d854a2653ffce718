"""Parts as the controller signs them: taken from the trust feed, golden images fetched by digest
and kept on disk; folders given locally serve what the fleet does not know.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

from cryptography import x509

from framegate.errors import FramegateError, Malformed, Reason, Refused
from framegate.signed.mask import parse_regions
from framegate.signed.part import MAX_GOLDEN_BYTES, PartStatement, later_part, verify_part
from framegate.wire import sha256
from framegate_gateway.inference.parts import GoldenImages, Part
from framegate_gateway.trust.fleet_channel import fleet_stub
from framegate_gateway.trust.keys import GatewayKeys
from framegate_host.private_files import keep_private, private_folder
from framegate_proto.edge import answered
from framegate_proto.v1 import framegate_pb2 as pb

log = logging.getLogger(__name__)
RETRY_S: Final = 2.0
FETCH_TIMEOUT_S: Final = 10.0
LATER: Final = (
    "part %s, version %d: its second looks %s are of a later version of Framegate, its frames are"
    " UNINSPECTED; update this gateway, or commission the part with it"
)
LATER_MEMBERS: Final = (
    "part %s, version %d: it is of a later version of Framegate, its frames are UNINSPECTED; update"
    " this gateway"
)


class FleetParts:
    """Parts of the fleet, and those of local folders behind them. A part counts as known once all
    its golden images are here; one that is guarded by looks of a later version never does, since
    nobody here can hold a frame against them, nor one with members of a later version.
    """

    def __init__(self, folder: Path, local: GoldenImages) -> None:
        self._folder, self._local = folder, local
        self._parts: dict[str, PartStatement] = {}
        self._later: dict[str, int] = {}
        self._images: dict[str, bytes] = {}
        self._wanted = asyncio.Event()

    def __len__(self) -> int:
        gone = {name for name, part in self._parts.items() if part.removed}
        return len({*self._local.names, *self._parts} - gone - set(self._later))

    def __contains__(self, part_type: str) -> bool:
        if part_type in self._later:
            return False
        part = self._parts.get(part_type)
        if part is None:
            return part_type in self._local
        there = not part.removed and not part.later
        return there and all(g in self._images for g in part.goldens)

    def key(self, part_type: str) -> str:
        """Version and digests of a fleet's part; the file of a local one. KeyError for an unknown
        part.
        """
        part = self._parts.get(part_type)
        if part is None and part_type not in self._later:
            return self._local.key(part_type)
        if part is None or part_type not in self:
            raise KeyError(part_type)
        return f"{part.version} {' '.join(part.goldens)}"

    def get(self, part_type: str) -> Part:
        """The part. KeyError for one that is unknown, removed, of a later version, or whose golden
        images are not here yet.
        """
        part = self._parts.get(part_type)
        if part is None and part_type not in self._later:
            return self._local.get(part_type)
        if part is None or part_type not in self:
            raise KeyError(part_type)
        thresholds = {str(row["kind"]): float(row["at_least"]) for row in part.thresholds}
        return Part(
            part_type,
            tuple(self._images[g] for g in part.goldens),
            thresholds,
            part.min_size_px,
            parse_regions(part.ignore),
            part.version,
            part.looks,
            parse_regions(part.outline),
            part.tolerant_percent,
        )

    def apply(self, envelopes: Sequence[bytes], root: x509.Certificate, now: datetime) -> None:
        """Take in parts of the feed, each verified (`verify_part`), none older than the one held;
        of a later version's (`later_part`) only that it is there. Raises Malformed or Refused for
        the first that is neither.
        """
        for envelope in envelopes:
            try:
                part = verify_part(envelope, root, now, known=self._parts)
            except Malformed:
                later = later_part(envelope, root, now)
                if later is None:
                    raise
                self._require_no_older(later.part_type, later.version)
                if self._later.get(later.part_type) != later.version:
                    log.error(LATER_MEMBERS, later.part_type, later.version)
                self._later[later.part_type] = later.version
                continue
            self._require_no_older(part.part_type, part.version)
            if part.later and self._parts.get(part.part_type) != part:
                log.error(LATER, part.part_type, part.version, ", ".join(part.later))
            self._later.pop(part.part_type, None)
            self._parts[part.part_type] = part
        self._drop_unused()
        if self._missing():
            self._wanted.set()

    def _require_no_older(self, part_type: str, version: int) -> None:
        held = self._parts.get(part_type)
        least = max(self._later.get(part_type, 0), held.version if held else 0)
        if version < least:
            raise Refused.of(
                Reason.PART,
                f"version {least} of {part_type} or later",
                version,
                "restore the controller's registry",
            )

    async def follow(self, keys: GatewayKeys) -> None:
        """Fetch golden images that parts name and that are not here, forever."""
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            try:
                await self._fetch(keys)
            except (FramegateError, TimeoutError, OSError) as error:
                log.warning("golden images: %s", error)
            if self._missing():
                await asyncio.sleep(RETRY_S)
                self._wanted.set()

    async def _fetch(self, keys: GatewayKeys) -> None:
        for digest in self._missing():  # what an earlier process kept
            kept = self._folder / digest
            if (
                kept.is_file()
                and kept.stat().st_size <= MAX_GOLDEN_BYTES
                and sha256(data := kept.read_bytes()).hex() == digest
            ):
                self._images[digest] = data
        credentials = keys.credentials
        missing = self._missing()
        if credentials is None or not missing:
            return
        async with fleet_stub(keys, credentials) as stub:
            for digest in missing:
                reply = await answered(
                    stub.GoldenImage(
                        pb.GoldenImageRequest(sha256=bytes.fromhex(digest)), timeout=FETCH_TIMEOUT_S
                    ),
                    "is the controller running?",
                )
                if sha256(reply.image).hex() != digest:
                    log.error("golden image %s: the controller sent other bytes", digest[:16])
                    continue
                self._keep(digest, reply.image)
                log.info("golden image %s is here", digest[:16])

    def _keep(self, digest: str, image: bytes) -> None:
        self._images[digest] = image
        private_folder(self._folder)
        keep_private(self._folder / digest, image)

    def _missing(self) -> list[str]:
        return sorted(
            {g for p in self._parts.values() if not p.removed for g in p.goldens}
            - set(self._images)
        )

    def _drop_unused(self) -> None:
        used = {g for p in self._parts.values() if not p.removed for g in p.goldens}
        self._images = {g: image for g, image in self._images.items() if g in used}
