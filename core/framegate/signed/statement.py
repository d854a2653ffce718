"""Signed statements people and machines act on: grants and verdicts. JSON inside DSSE; parsed only
from verified bytes.

One shape for both: a frozen dataclass, `payload()` to JSON, and a `verify_…` function that returns
it or raises.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from enum import StrEnum
from functools import cache
from typing import Any, ClassVar, Final, Self, get_type_hints

from cryptography import x509

from framegate.codec import MOST_WHOLE
from framegate.errors import Malformed, Reason, Refused
from framegate.identity.certificates import Purpose, common_name, verify_certificate
from framegate.receipt_verifier import (
    FOREGROUND,
    MIN_INSPECTED,
    OUTLINE,
    is_named_kind,
    of_words,
)
from framegate.signed.dsse import (
    envelope_certificate,
    parse_envelope,
    seal_envelope,
    strict_json,
    verify_envelope,
)
from framegate.wire import NO_MODEL

MAX_GRANT_TTL_S: Final = 120
"""A camera seals for a gateway no longer than this on one word of the controller."""
MAX_VERDICT_LIFE_S: Final = 60
"""A PASS that arrives later than a part can wait is no permission."""
CLOCK_SLACK_MS: Final = 5_000
"""Between two machines that each corrected their clock by a signed challenge."""


STAGES: Final = frozenset({"", "observe", "warn"})
"""How far a zone is enforced, as statements say it; empty where wholly."""


class Outcome(StrEnum):
    """What an inspection says; only PASS lets a part through."""

    PASS = "PASS"  # noqa: S105 - an outcome, no password
    DEFECT = "DEFECT"
    UNINSPECTED = "UNINSPECTED"


@dataclass(frozen=True, slots=True)
class Statement:
    """Base of signed statements: the dataclass's fields are the JSON's members."""

    TYPE: ClassVar[str]
    PURPOSE: ClassVar[Purpose]
    LATER: ClassVar[frozenset[str]] = frozenset()
    """Members that statements of before lack, with empty defaults: an empty one is not written."""

    def payload(self) -> bytes:
        """The JSON that is signed."""
        body = {name: getattr(self, name) for name in _members(type(self))}
        body = {name: said for name, said in body.items() if said or name not in self.LATER}
        return json.dumps(body, separators=(",", ":"), sort_keys=True).encode()

    def seal(self, certificate_der: bytes, sign: Callable[[bytes], bytes]) -> bytes:
        """The DSSE envelope, signed by the key of `certificate_der`."""
        return seal_envelope(self.TYPE, self.payload(), certificate_der, sign)

    @classmethod
    def parse_payload(cls, payload: bytes) -> Self:
        """The statement in `payload`. The caller MUST have verified the signature over these bytes.
        Raises Malformed.
        """
        body = strict_json(payload)
        names = _members(cls)
        given = body if type(body) is dict else {}
        # an empty member that is written would be another encoding of one that is not
        wanted = [name for name in names if name not in cls.LATER or given.get(name)]
        if type(body) is not dict or set(body) != set(wanted):
            raise Malformed.of(
                Reason.ENVELOPE,
                f"the members of {cls.TYPE}",
                sorted(body) if type(body) is dict else type(body).__name__,
            )
        hints = get_type_hints(cls)
        return cls(**{name: _typed(hints[name], body[name], name) for name in wanted})

    @classmethod
    def verify(
        cls,
        data: bytes,
        intermediates: Sequence[x509.Certificate],
        root: x509.Certificate,
        now: datetime,
    ) -> tuple[Self, x509.Certificate]:
        """The statement in the envelope `data` and its signer's certificate.

        1. the envelope is of this type;
        2. its certificate chains to `root`, lives at `now` and is for this purpose;
        3. the signature holds;
        4. the payload, out of the verified bytes, has exactly its members.

        Raises Malformed or Refused.
        """
        payload, signer = cls.signed_payload(data, intermediates, root, now)
        return cls.parse_payload(payload), signer  # 4

    @classmethod
    def signed_payload(
        cls,
        data: bytes,
        intermediates: Sequence[x509.Certificate],
        root: x509.Certificate,
        now: datetime,
    ) -> tuple[bytes, x509.Certificate]:
        """The bytes that were signed, and their signer's certificate: `verify` as far as 3."""
        envelope = parse_envelope(data, cls.TYPE)  # 1
        signer = verify_certificate(  # 2
            envelope_certificate(envelope), cls.PURPOSE, intermediates, root, now
        )
        return verify_envelope(envelope, signer.key), signer.certificate  # 3


def _fields_of(kind: Any) -> tuple[str, ...]:
    return tuple(f.name for f in fields(kind))


_members: Final[Callable[[Any], tuple[str, ...]]] = cache(_fields_of)
"""Names of a statement's members: asked for with every verdict."""


def _typed(kind: Any, value: Any, name: str) -> Any:
    if type(value) is int and not -MOST_WHOLE <= value <= MOST_WHOLE:
        raise Malformed.of(
            Reason.ENVELOPE,
            f"{name} of at most {MOST_WHOLE}",
            f"a number of {value.bit_length()} bits",
        )
    if kind in {str, int, float} and (
        type(value) is kind or (kind is float and type(value) is int)
    ):
        return kind(value)
    if kind == tuple[str, ...] and type(value) is list and all(type(v) is str for v in value):
        return tuple(value)
    if (
        kind == tuple[dict[str, Any], ...]
        and type(value) is list
        and all(type(v) is dict for v in value)
    ):
        return tuple(value)
    raise Malformed.of(Reason.ENVELOPE, f"{name} as {kind}", type(value).__name__)


@dataclass(frozen=True, slots=True)
class Grant(Statement):
    """The controller lets `camera` seal frames for one gateway process. Digests in hex; `nonce` is
    the camera's own, `ttl_s` counts from when it drew that. `profile_sha256` is of the firmware
    profile by which the host was appraised: there where the camera asked for it.
    """

    grant_id: str
    camera: str
    nonce: str
    issued_at_ms: int
    ttl_s: int
    host: str
    result_id: str
    zone: str
    publics_sha256: str
    tls_spki_sha256: str
    hpke_kem: str
    hpke_public: str
    address: str
    model_sha256: str
    policy: str
    mask_version: int
    mask_sha256: str
    profile_sha256: str = ""

    TYPE: ClassVar[str] = "application/vnd.framegate.grant+json"
    PURPOSE: ClassVar[Purpose] = Purpose.GRANT
    LATER: ClassVar[frozenset[str]] = frozenset({"profile_sha256"})


@dataclass(frozen=True, slots=True)
class Verdict(Statement):
    """What became of one frame. `defects`: [{kind, score, box: [x1, y1, x2, y2]}], the hottest of
    an anomaly model, the best of one with instance masks, with a grid of `heat` besides; `reason`
    is empty unless UNINSPECTED.
    `inspected_percent`: how much masks and the part's rules left to be inspected, 0 where
    UNINSPECTED; `inspected_of`: of the part's `outline`, of its golden image's `foreground`, or,
    where it is empty, of the picture. `stage`: how far its zone was enforced, as its gateway knew;
    empty where wholly. It opens nothing: a line goes by the controller's own word. `payload_kind`:
    what kind of evidence the frame is, empty where it is a picture; of every other kind a box is
    of values and rows.
    """

    verdict_id: str
    gateway: str
    device: str
    zone: str
    part: str
    part_type: str
    trigger_sequence: int
    outcome: str
    reason: str
    defects: tuple[dict[str, Any], ...]
    model_sha256: str
    golden_sha256: str
    inspected_percent: int
    input_sha256: str
    result_id: str
    session: str
    counter: int
    issued_at_ms: int
    valid_until_ms: int
    inspected_of: str = ""
    stage: str = ""
    payload_kind: str = ""

    TYPE: ClassVar[str] = "application/vnd.framegate.verdict+json"
    PURPOSE: ClassVar[Purpose] = Purpose.VERDICT
    LATER: ClassVar[frozenset[str]] = frozenset({"inspected_of", "stage", "payload_kind"})


def verify_grant(
    data: bytes,
    camera: str,
    intermediates: Sequence[x509.Certificate],
    root: x509.Certificate,
    now: datetime,
    *,
    nonce: bytes | None,
) -> Grant:
    """A grant that `camera` may act on.

    1. to 4. as `Statement.verify`; 5. it is for this camera; 6. it answers `nonce` where the caller
       drew one (a gateway, which did not, passes None and relies on 7); 7. it was issued in the
       past and its ttl, at most `MAX_GRANT_TTL_S`, has not run out at `now`. Raises Malformed or
       Refused (GRANT, GRANT_EXPIRED).
    """
    grant, _ = Grant.verify(data, intermediates, root, now)
    if grant.camera != camera or (nonce is not None and grant.nonce != nonce.hex()):  # 5, 6
        raise Refused.of(
            Reason.GRANT, f"a grant for {camera} that answers its nonce", f"one for {grant.camera}"
        )
    now_ms = int(now.timestamp() * 1000)
    age = now_ms - grant.issued_at_ms
    if (
        not 0 < grant.ttl_s <= MAX_GRANT_TTL_S or age < -CLOCK_SLACK_MS or age > grant.ttl_s * 1000
    ):  # 7
        raise Refused.of(
            Reason.GRANT_EXPIRED,
            f"a grant of at most {MAX_GRANT_TTL_S} s that still runs",
            f"{grant.ttl_s} s, {age / 1000:.1f} s old",
        )
    return grant


def verify_verdict(
    data: bytes, intermediates: Sequence[x509.Certificate], root: x509.Certificate, now: datetime
) -> Verdict:
    """A verdict that may be acted on.

    1. to 4. as `Statement.verify`; 5. the outcome is one of three, DEFECT has defects, PASS has
       none, both a model that is one, UNINSPECTED a reason; what was inspected was
       `MIN_INSPECTED` percent or more of the part or the picture; its stage is one that is written
       (`STAGES`), and its payload's kind one that may have a name;
    6. it is not expired at `now` and lives at most `MAX_VERDICT_LIFE_S`; 7. the signer's
       certificate names the gateway it claims to be of. Raises Malformed or Refused (VERDICT). An
       expired UNINSPECTED or DEFECT is refused like an expired PASS: silence diverts.
    """
    verdict, signer = Verdict.verify(data, intermediates, root, now)
    want = {
        Outcome.PASS: (False, False),
        Outcome.DEFECT: (True, False),
        Outcome.UNINSPECTED: (False, True),
    }
    if (
        verdict.outcome not in set(Outcome)
        or (bool(verdict.defects), bool(verdict.reason)) != want[Outcome(verdict.outcome)]
    ):  # 5
        raise Refused.of(Reason.VERDICT, "an outcome with what belongs to it", verdict.outcome)
    if verdict.stage not in STAGES:
        raise Refused.of(Reason.VERDICT, "a stage, observe or warn", ascii(verdict.stage)[:40])
    if verdict.payload_kind and not is_named_kind(verdict.payload_kind):
        came = ascii(verdict.payload_kind)[:40]
        raise Refused.of(
            Reason.VERDICT, "no kind of payload for a picture, or another's name", came
        )
    if verdict.outcome != Outcome.UNINSPECTED and not (
        verdict.model_sha256 not in {"", NO_MODEL.hex()}
        and verdict.input_sha256
        and verdict.golden_sha256
    ):
        raise Refused.of(Reason.VERDICT, "digests of model, frame and golden image", "none")
    least, most = (0, 0) if verdict.outcome == Outcome.UNINSPECTED else (MIN_INSPECTED, 100)
    known = ("", OUTLINE, FOREGROUND) if least else ("",)
    if not least <= verdict.inspected_percent <= most or verdict.inspected_of not in known:
        expected = f"{least} to {most} % of the part or the picture inspected"
        came = f"{verdict.inspected_percent} % of {of_words(verdict.inspected_of)}"
        raise Refused.of(Reason.VERDICT, expected, came)
    now_ms = int(now.timestamp() * 1000)
    life = verdict.valid_until_ms - verdict.issued_at_ms
    if (
        not 0 < life <= MAX_VERDICT_LIFE_S * 1000
        or now_ms > verdict.valid_until_ms
        or verdict.issued_at_ms > now_ms + CLOCK_SLACK_MS
    ):  # 6
        raise Refused.of(
            Reason.VERDICT,
            "a verdict of now",
            f"valid until {verdict.valid_until_ms}, now {now_ms}",
        )
    name = common_name(signer)
    if name != verdict.gateway:  # 7
        raise Refused.of(Reason.VERDICT, f"a signature of {verdict.gateway}", name)
    return verdict
