"""How far this line's zone is enforced, by the controller's word that gateways pass on. Without one
in force everything is: a word that was kept back, or an old one told again, opens nothing.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from framegate.errors import FramegateError, Reason, Refused
from framegate.identity.certificates import from_ms
from framegate.pilot.policy import Stage
from framegate.pilot.word import MAX_WORD_BYTES, StageWord, verify_stage_word
from framegate.signed.dsse import parse_envelope
from framegate_host.private_files import write_private
from framegate_line.credentials import Credentials

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class KeptStage:
    """What of a line's stage stands on its disk, for `framegate-line status`: in force until
    `valid_until_ms`.
    """

    stage: Stage
    policy: str
    valid_until_ms: int


class StageView:
    """The latest word on one zone. Kept beside the ledger, with the newest policy that was seen: an
    adapter that starts again goes on by the same word, and takes none of an older policy.
    """

    def __init__(
        self, file: Path, zone: str, credentials: Credentials, now_ms: Callable[[], int]
    ) -> None:
        self._file, self._zone = file, zone
        self._credentials, self._now_ms = credentials, now_ms
        self._word: StageWord | None = None
        self._floor = 0
        self._last = b""
        self.refused = 0
        self._restore()

    def take(self, envelope: bytes) -> None:
        """A word, from anyone. One that does not hold changes nothing; never raises."""
        if envelope == self._last or len(envelope) > MAX_WORD_BYTES:
            return
        before = self.stage
        try:
            self._accept(envelope)
        except FramegateError as error:
            self.refused += 1
            log.warning("a word on the zone's stage refused: %s", ascii(str(error)))
            return
        self._keep(envelope)
        if self.stage is not before:
            told = "diverts NOTHING" if not self.stage.diverts else "diverts"
            log.warning(
                "zone %s: %s, so far %s; this line %s", self._zone, self.stage, before, told
            )

    @property
    def stage(self) -> Stage:
        """How far parts are enforced at this moment."""
        word, now = self._word, self._now_ms()
        if word is None or not word.issued_at_ms - _BACK_MS <= now <= word.valid_until_ms:
            return Stage.ENFORCE
        return Stage(word.stage)

    def _accept(self, envelope: bytes) -> None:
        """1. `verify_stage_word`; 2. its policy is not older than the newest that was seen; 3. of
        the same policy it is not issued earlier. Raises Malformed, Refused (PILOT).
        """
        own, now = self._credentials, from_ms(self._now_ms())
        word = verify_stage_word(envelope, self._zone, own.authorities, own.root, now)  # 1
        if word.version < self._floor:  # 2
            raise Refused.of(Reason.PILOT, f"a policy of version {self._floor}", word.version)
        last = self._word
        same = last is not None and word.version == last.version
        if last is not None and same and word.issued_at_ms < last.issued_at_ms:  # 3
            seen = f"one of {word.issued_at_ms}"
            raise Refused.of(Reason.PILOT, f"a word of {last.issued_at_ms} or later", seen)
        self._word, self._floor, self._last = word, word.version, envelope

    def _keep(self, envelope: bytes) -> None:
        body = {"floor": self._floor, "word": envelope.decode()}
        try:
            write_private(self._file, json.dumps(body).encode(), durable=False)
        except OSError as error:
            log.error("the zone's stage is not kept over a restart: %s", error)

    def _restore(self) -> None:
        try:
            body = json.loads(self._file.read_bytes())
            self._floor = int(body["floor"])
            self._accept(str(body["word"]).encode())
        except FileNotFoundError:
            return
        except (OSError, ValueError, KeyError, TypeError, FramegateError) as error:
            log.info("no word on the zone's stage is left of an earlier run: %s", ascii(str(error)))


_BACK_MS: Final = 60_000
"""A clock that was set back further than this makes an old word no word of now."""


def stage_file(ledger: Path) -> Path:
    """Where the adapter with this ledger keeps the word."""
    return ledger.with_suffix(".stage")


def read_kept_stage(file: Path, now_ms: int) -> KeptStage | None:
    """What an adapter goes by, for people: its own file is believed. None where nothing is in
    force.
    """
    try:
        envelope = str(json.loads(file.read_bytes())["word"]).encode()
        word = StageWord.parse_payload(parse_envelope(envelope, StageWord.TYPE).payload)
        stage = Stage(word.stage)
    except (OSError, ValueError, KeyError, TypeError, FramegateError):
        return None
    if stage.diverts or now_ms > word.valid_until_ms:
        return None
    return KeptStage(stage, word.policy, word.valid_until_ms)
