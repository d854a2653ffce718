"""The one error tree and the one list of reason ids.

    FramegateError
    ├── Malformed            bytes that do not parse; says nothing about who sent them
    ├── EvidenceRejected     evidence that parses and does not hold; `failures` has every reason
    ├── Refused              a request that the rules deny (ticket, lifecycle, role, grant, frame)
    └── Unavailable          something needed is not there now; try again

Every error has a `Reason`, which is also the value on the wire, what was `expected`, what came
(`actual`), and a `hint` for the person who has to mend it. An error is never a return value.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

from framegate.redaction import redacted


class Reason(StrEnum):
    """Why something was refused. Stable: these strings are wire values, table columns and test
    expectations.
    """

    # structures and sizes
    MALFORMED = "malformed"
    TOO_LARGE = "too-large"
    TRAILING_BYTES = "trailing-bytes"
    UNKNOWN_ALGORITHM = "unknown-algorithm"
    # sessions and enrolment
    SESSION_UNKNOWN = "session-unknown"
    SESSION_EXPIRED = "session-expired"
    TICKET_UNKNOWN = "ticket-unknown"
    TICKET_EXPIRED = "ticket-expired"
    TICKET_USED = "ticket-used"
    TICKET_RESERVED = "ticket-reserved"
    TOO_MANY_TRIES = "too-many-tries"
    EK_UNKNOWN = "ek-unknown"
    EK_NOT_PINNED = "ek-not-the-pinned-one"
    EK_CHAIN = "ek-chain"
    EK_CERTIFICATE_KEY = "ek-certificate-key"
    CLOUD_EVIDENCE = "cloud-evidence"
    EK_TEMPLATE = "ek-template"
    AK_TEMPLATE = "ak-template"
    TLS_TEMPLATE = "tls-key-template"
    KEY_OWNED = "key-owned-by-another-device"
    NAME_TAKEN = "name-taken"
    APPROVAL_NEEDED = "approval-needed"
    MAC = "activation-mac"
    # quote and certify, in the order of the checks
    SIGNATURE = "signature"
    SIGNATURE_SCHEME = "signature-scheme"
    MAGIC = "magic"
    ATTEST_TYPE = "attest-type"
    QUALIFIED_SIGNER = "qualified-signer"
    EXTRA_DATA = "extra-data"
    PCR_SELECTION = "pcr-selection"
    PCR_DIGEST = "pcr-digest"
    CERTIFIED_NAME = "certified-name"
    TLS_KEY_POLICY = "tls-key-policy"
    CSR_KEY = "csr-key"
    # boot log
    BOOT_LOG_MISSING = "boot-log-missing"
    BOOT_LOG_REQUIRED = "boot-log-required"
    BOOT_LOG_MALFORMED = "boot-log-malformed"
    BOOT_LOG_REPLAY = "boot-log-replay"
    BANK_UNUSED = "bank-unused"
    SEPARATOR = "separator"
    EVENT_DATA = "event-data"
    EVENT_UNCLAIMED = "event-unclaimed"
    EVENT_ABSENT = "event-absent"
    SECURE_BOOT = "secure-boot"
    PROFILE_MISSING = "firmware-profile-missing"
    PROFILE_INVALID = "firmware-profile-invalid"
    PROFILE_KIND = "firmware-profile-kind"
    ALLOWLIST = "allowlist"
    QUIRK = "quirk"
    SBAT = "sbat-level"
    DBX = "dbx"
    COMMAND_LINE = "command-line"
    IMA_UNEXPECTED = "ima-unexpected"
    IMA_MALFORMED = "ima-malformed"
    IMA_MISSING = "ima-list-missing"
    IMA_REQUIRED = "ima-list-required"
    IMA_REPLAY = "ima-replay"
    IMA_OFFSET = "ima-offset"
    IMA_VIOLATION = "ima-violation"
    IMA_BOOT_AGGREGATE = "ima-boot-aggregate"
    IMA_FILE = "ima-file"
    IMA_SIGNATURE = "ima-signature"
    IMA_PATH = "ima-path"
    IMA_UNMEASURED = "ima-unmeasured"
    IMA_FILE_ABSENT = "ima-file-absent"
    ROLLOUT = "rollout"
    TPM_FIRMWARE = "tpm-firmware"
    COUNTERS = "counters"
    POSTURE = "posture"
    PUBLICS = "gateway-publics"
    # devices and service
    DEVICE_UNKNOWN = "device-unknown"
    DEVICE_RETIRED = "device-retired"
    QUARANTINED = "quarantined"
    SUSPECT = "suspect"
    STALE = "stale"
    NOT_TRUSTED = "not-trusted"
    TRANSITION = "transition-not-allowed"
    NOT_FOUND = "not-found"
    CONFLICT = "conflict"
    USAGE = "usage"
    UNAUTHENTICATED = "unauthenticated"
    WRONG_ROLE = "wrong-role"
    UNCONFINED = "unconfined"
    CERTIFICATE = "certificate"
    CERTIFICATE_EXPIRED = "certificate-expired"
    CERTIFICATE_ENDING = "certificate-ending"
    SIGNING_ORACLE = "not-a-tls-handshake"
    # people and policy
    SIGN_IN = "sign-in"
    LOCKED = "locked-out"
    SIGNED_OUT = "signed-out"
    FACTOR_NEEDED = "factor-needed"
    POLICY_INVALID = "access-policy-invalid"
    PLAYBOOK = "playbook-invalid"
    SEGMENT = "segment-policy-invalid"
    PILOT = "pilot-invalid"
    POLICY_DENIED = "denied-by-policy"
    ZONE_FROZEN = "zone-frozen"
    MAINTENANCE = "maintenance"
    SITE_BUNDLE = "site-bundle"
    SITE_UNKNOWN = "site-unknown"
    SITE_WITHDRAWN = "site-withdrawn"
    AUDIT = "audit-log"
    CONTROLLER_BEHIND = "controller-behind"
    BACKUP = "backup"
    # grants, frames, verdicts
    ENVELOPE = "envelope"
    GRANT = "grant"
    GRANT_EXPIRED = "grant-expired"
    NO_GRANT = "no-grant"
    OPENING = "opening"
    OPENING_REPLAYED = "opening-replayed"
    FRAME_SESSION = "frame-session"
    FRAME_AUTHENTICATION = "frame-authentication"
    FRAME_REPLAYED = "frame-replayed"
    FRAME_GAP = "frame-gap"
    FRAME_LABEL = "frame-label"
    FRAME_TOO_LARGE = "frame-too-large"
    FRAME_IN_FLIGHT = "too-many-frames-in-flight"
    FRAME_FROZEN = "frame-frozen"
    IMAGE_COVERED = "image-covered"
    IMAGE_EXPOSURE = "image-exposure"
    IMAGE_DEFOCUS = "image-defocus"
    IMAGE_CONTRAST = "image-contrast"
    REGISTRATION = "registration"
    OUT_OF_PLACE = "out-of-place"
    RESIDUAL_UNEXPLAINED = "residual-unexplained"
    DETECTION_GROUNDLESS = "detection-groundless"
    DETECTION_NEAR = "detection-near"
    ANSWER_UNSTEADY = "answer-unsteady"
    HIGH_FREQUENCY = "high-frequency"
    HIGH_FREQUENCY_BLOCK = "high-frequency-block"
    COARSE_GRAIN = "coarse-grain"
    NOISE_MISSING = "noise-missing"
    GOLDEN_COPY = "golden-copy"
    SCENE_REPLAYED = "scene-replayed"
    CAMERA_FOREIGN = "camera-foreign"
    MASK = "mask"
    IMAGE = "image"
    INSPECTED_SHARE = "inspected-share"
    PAYLOAD = "payload"
    PAYLOAD_STALE = "payload-stale"
    PAYLOAD_REPLAYED = "payload-replayed"
    SERIES_RATE = "series-rate"
    SERIES_GAP = "series-gap"
    SERIES_FLAT = "series-flat"
    SERIES_CLIPPED = "series-clipped"
    SERIES_DROPOUT = "series-dropout"
    PART_UNKNOWN = "part-unknown"
    PART = "part"
    MODEL = "model"
    MODEL_SIGNATURE = "model-signature"
    MODEL_GRAPH = "model-graph"
    MODEL_ROLLBACK = "model-rollback"
    KNOWN_ANSWER = "known-answer"
    DATA_SET = "data-set"
    INFERENCE = "inference"
    BACKEND = "backend"
    TRUST_FEED = "trust-feed"
    VERDICT = "verdict"
    # receipts, vault, export
    RECEIPT = "receipt"
    FRAME_HEAD = "frame-head"
    REPORT = "report"
    VAULT = "vault"
    EXPORT = "export"
    EXPORT_QUOTA = "export-quota"
    STORE_QUOTA = "store-quota"
    # the log of decisions and its witnesses
    NOT_COSIGNED = "not-cosigned"
    LOG_FORKED = "log-forked"
    WITNESS_BEHIND = "witness-behind"
    # the line
    TIMEOUT = "timeout"
    LINE_OUTPUT = "line-output"
    DECISION = "decision"
    RESTARTED = "restarted"
    TRIGGER_REUSED = "trigger-reused"
    BROKER = "broker-client-ids"
    UNAVAILABLE = "unavailable"
    INTERNAL = "internal"


@dataclass(frozen=True, slots=True)
class Failure:
    """One failed check: its stable id, what was expected, what came, and what to do. Text may hold
    attacker's words: escape it on output. Credentials of addresses are not in it.
    """

    reason: Reason
    expected: str
    actual: str
    hint: str = ""

    def __post_init__(self) -> None:
        for name in ("expected", "actual", "hint"):
            object.__setattr__(self, name, redacted(getattr(self, name)))

    def as_dict(self) -> dict[str, str]:
        """As JSON members."""
        return {
            "reason": self.reason.value,
            "expected": self.expected,
            "actual": self.actual,
            "hint": self.hint,
        }

    def __str__(self) -> str:
        text = f"{self.reason}: expected {self.expected}, got {self.actual}"
        return f"{text} ({self.hint})" if self.hint else text


class FramegateError(Exception):
    """Base of everything Framegate raises on purpose; `failures` is never empty."""

    def __init__(self, failures: Sequence[Failure]) -> None:
        if not failures:
            raise ValueError("an error needs at least one failure")
        super().__init__("; ".join(str(f) for f in failures))
        self.failures = tuple(failures)

    @classmethod
    def of(cls, reason: Reason, expected: object, actual: object, hint: str = "") -> Self:
        """An error of this class with one failure. Where `actual` is an error of ours, what it saw
        and expected is seen here: not its reason and its hint, of which this one has its own.
        """
        seen = str(actual)
        if isinstance(actual, FramegateError):
            first = actual.failures[0]
            seen = f"{first.actual}, not {first.expected}"
        return cls([Failure(reason, str(expected), seen, hint)])

    @property
    def reason(self) -> Reason:
        """The first failure's id."""
        return self.failures[0].reason


class Malformed(FramegateError):
    """Bytes that are not what they should be."""


class EvidenceRejected(FramegateError):
    """Evidence that parses and does not hold. `authenticated` tells whether the device's own TPM
    said so, which alone may lower its state.
    """

    def __init__(self, failures: Sequence[Failure], *, authenticated: bool = False) -> None:
        super().__init__(failures)
        self.authenticated = authenticated


class Refused(FramegateError):
    """A request that the rules deny."""


class Unavailable(FramegateError):
    """Something needed is not there now."""
