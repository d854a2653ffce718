"""The model that the controller pins for this zone, put in force here: found among the bundles at
hand, verified, proven, switched to (N104, N105).
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

from cryptography import x509

from framegate.errors import FramegateError, Reason, Refused, Unavailable
from framegate.signed.model import SignedModel, bundle_digest, verify_model
from framegate.signed.pin import ModelPin, anchor_of, verify_model_pin
from framegate.wire import NO_MODEL, sha256
from framegate_gateway.inference.bundle import Bundle, parse_bundle, read_bundle_files
from framegate_gateway.inference.models import Models
from framegate_host.private_files import keep_private

log = logging.getLogger(__name__)
LOOK_AGAIN_S: Final = 5.0
"""How often a pinned bundle that is not at hand is looked for: whoever copies it is at work now."""
MAX_BUNDLES: Final = 64
Event = Callable[[str, dict[str, Any]], Awaitable[None]]


def verify_pinned(bundle: Bundle, pin: ModelPin, now: datetime) -> SignedModel:
    """That a bundle is the one a pin means: 1. its digest is the pinned one; 2. its signature holds
    over exactly its files, by the signer the pin names.

    Raises Malformed or Refused (MODEL, MODEL_SIGNATURE).
    """
    if bundle.digest.hex() != pin.model_sha256:  # 1
        raise Refused.of(
            Reason.MODEL, f"the pinned model {pin.model_sha256[:16]}", bundle.digest.hex()[:16]
        )
    keys, roots = anchor_of(pin.anchor)
    return verify_model(
        bundle.signature,
        {n: sha256(d) for n, d in bundle.files.items()},
        keys=keys,
        roots=roots,
        signers=(pin.signer,),
        now=now,
    )  # 2


class PinnedModel:
    """Follows the zone's pin. `folder` keeps the highest pin and the highest version that ran, over
    restarts; `bundles` are folders of bundles, or bundles.
    """

    def __init__(
        self,
        folder: Path,
        bundles: Sequence[Path],
        models: Models,
        switched: Callable[[bytes], None],
        event: Event,
        now: Callable[[], datetime],
    ) -> None:
        self._file, self._bundles, self._models, self._switched, self._event, self._now = (
            folder / "model-pin.json",
            tuple(bundles),
            models,
            switched,
            event,
            now,
        )
        self._said = models.bundle.digest
        self._envelope, self._sequence, self._digest = b"", 0, ""
        self._highest: dict[str, int] = {}
        self.pin: ModelPin | None = None
        self.problem: FramegateError | None = None
        self._changed = asyncio.Event()
        if self._file.exists():
            kept = _kept(self._file)
            self._sequence, self._digest = kept.sequence, kept.digest
            self._highest = kept.highest

    def apply(self, envelope: bytes, zone: str, root: x509.Certificate) -> None:
        """Take in the feed's pin, verified (`verify_model_pin`), none older than the highest seen.
        A model it does not approve stops at once.

        A zone that had a pin keeps it: a feed without one is then refused. Raises Malformed or
        Refused (MODEL, MODEL_ROLLBACK).
        """
        if not envelope:
            if self._sequence:
                raise Refused.of(
                    Reason.MODEL_ROLLBACK,
                    f"pin {self._sequence} of {zone} or later",
                    "none",
                    "restore the controller's registry",
                )
            return
        if envelope == self._envelope:
            return
        pin = verify_model_pin(
            envelope, zone, root, self._now(), least=(self._sequence, self._digest)
        )
        self._envelope, self.pin, self._sequence, self._digest = (
            envelope,
            pin,
            pin.sequence,
            pin.model_sha256,
        )
        self._models.allowed = frozenset({pin.model_sha256, *pin.approved})
        self._announce()
        self._keep()
        self._changed.set()

    def _announce(self) -> None:
        """Say which model runs here, none where that may not inspect: cameras are then told
        UNINSPECTED and why, until the pin changes or its bundle is there.
        """
        self._say(NO_MODEL if self._models.unapproved else self._models.bundle.digest)

    def _say(self, digest: bytes) -> None:
        if digest != self._said:
            self._said = digest
            self._switched(digest)

    async def follow(self) -> None:
        """Put each pin in force, forever; one that cannot be is tried again, for its files may be
        on their way.
        """
        while True:
            await self._changed.wait()
            self._changed.clear()
            pin = self.pin
            if pin is None:
                continue
            try:
                await self._enforce(pin)
            except FramegateError as error:
                if self.problem is None or str(self.problem) != str(error):
                    log.error(
                        "the pinned model %s %d is not in force: %s", pin.name, pin.version, error
                    )
                    await self._event(
                        "model-refused",
                        {
                            "model_sha256": pin.model_sha256,
                            "reason": error.reason.value,
                            "what": str(error)[:400],
                        },
                    )
                self.problem = error
                await self._again()

    async def _again(self) -> None:
        try:
            await asyncio.wait_for(self._changed.wait(), LOOK_AGAIN_S)
        except TimeoutError:
            self._changed.set()

    async def _enforce(self, pin: ModelPin) -> None:
        """1. no older version than one that ran here, unless the pin says it is meant;
        2. the bundle is at hand and is the pinned one, signed as the pin says (`verify_pinned`);
        3. it proves itself by its known answers, in a child of its own;
        4. switched.
        """
        if pin.version < self._highest.get(pin.name, 0) and not pin.rollback:  # 1
            raise Refused.of(
                Reason.MODEL_ROLLBACK,
                f"{pin.name} {self._highest[pin.name]} or later",
                pin.version,
                "framegate model rollback says that it is meant",
            )
        bundle = await asyncio.to_thread(self._find, pin)  # 2
        before = self._models.bundle.digest.hex()
        await self._models.replace(bundle, lambda: self._say(bundle.digest))  # 3, 4
        self.problem = None
        self._highest[pin.name] = pin.version
        self._keep()
        if before != bundle.digest.hex():
            log.warning(
                "model %s %d (%s) is in force, after %s",
                pin.name,
                pin.version,
                pin.model_sha256[:16],
                before[:16],
            )
            await self._event(
                "model-switched",
                {"model_sha256": pin.model_sha256, "before": before, "pin": pin.sequence},
            )

    def _find(self, pin: ModelPin) -> Bundle:
        """The pinned bundle. A folder that is none, or another, is passed over; one with the right
        name and other content is what the error tells of.
        """
        problem: FramegateError | None = None
        for folder in self._candidates():
            try:
                files, signature = read_bundle_files(folder)
                if (
                    bundle_digest({n: sha256(d) for n, d in files.items()}).hex()
                    != pin.model_sha256
                ):
                    continue
                bundle = parse_bundle(files, signature, self._models.kinds)
                verify_pinned(bundle, pin, self._now())
            except FramegateError as error:
                problem = problem or error
                continue
            return bundle
        if problem is not None:
            raise problem
        raise Unavailable.of(
            Reason.MODEL,
            f"the bundle {pin.name} {pin.version}, {pin.model_sha256[:16]}",
            "none of that digest in --models",
            "copy the signed bundle there",
        )

    def _candidates(self) -> list[Path]:
        bundles: list[Path] = []
        for folder in self._bundles:
            if (folder / "recipe.json").exists():
                bundles.append(folder)
            elif folder.is_dir():
                bundles += [
                    p
                    for p in sorted(folder.iterdir())
                    if p.is_dir() and (p / "recipe.json").exists()
                ]
        return bundles[:MAX_BUNDLES]

    def _keep(self) -> None:
        keep_private(
            self._file,
            json.dumps(
                {"sequence": self._sequence, "model_sha256": self._digest, "highest": self._highest}
            ).encode(),
        )


class _Kept(NamedTuple):
    """What of pins outlives a process."""

    sequence: int
    digest: str
    highest: dict[str, int]


def _kept(file: Path) -> _Kept:
    """Raises Refused (MODEL) where it cannot be read: without it an older pin would count."""
    try:
        body = json.loads(file.read_text())
        highest = {str(k): int(v) for k, v in body["highest"].items()}
        return _Kept(int(body["sequence"]), str(body["model_sha256"]), highest)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise Refused.of(
            Reason.MODEL,
            f"the highest pin seen, in {file}",
            type(error).__name__,
            "put it back from a copy; without it a pin of before would count",
        ) from error
