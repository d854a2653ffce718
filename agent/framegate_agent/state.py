"""What the agent keeps on disk: addresses, the fleet's root, its certificate. No secret that works
without this machine's TPM.
"""

from __future__ import annotations

import base64
import contextlib
import json
import logging
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from framegate.errors import Failure, Reason, Refused, Unavailable
from framegate.identity.certificates import load_certificate
from framegate_host.file_lock import hold
from framegate_host.private_files import keep_private, state_folder

log = logging.getLogger(__name__)
JOINED: Final = "agent.json"
"""The file in an agent's folder that says which fleet it joined, and as what."""


class NotCertified(Unavailable):
    """This boot's key has no certificate so far: it comes with the next attestation, and whatever
    stands in its way is told by that.
    """

    @classmethod
    def yet(cls) -> NotCertified:
        """With the words for it."""
        wanted, hint = "a certificate for this boot's key", "it comes with the next attestation"
        return cls([Failure(Reason.CERTIFICATE, wanted, "none", hint)])


@dataclass(frozen=True, slots=True)
class AgentState:
    """The agent's identity as it was last told; certificates as base64 DER."""

    join_address: str
    fleet_address: str
    server_name: str
    root: str
    device: str = ""
    zone: str = ""
    authorities: tuple[str, ...] = ()
    certificate: str = ""
    state: str = "invited"
    result_id: str = ""
    attest_interval_ms: int = 60_000
    seen_ms: int = 0

    @property
    def root_certificate(self) -> x509.Certificate:
        """The fleet's root, which the ticket named."""
        return load_certificate(base64.b64decode(self.root))

    @property
    def authority_certificates(self) -> tuple[x509.Certificate, ...]:
        """Issuing CAs; every use verifies them up to the root."""
        return tuple(load_certificate(base64.b64decode(a)) for a in self.authorities)

    @property
    def own_certificate(self) -> x509.Certificate | None:
        """This machine's certificate, alive or not."""
        return load_certificate(base64.b64decode(self.certificate)) if self.certificate else None

    @property
    def server_ca_pem(self) -> bytes:
        """The CAs among the issuing ones that servers' certificates come from, as a PEM bundle."""
        authorities = self.authority_certificates
        server_cas = [a for a in authorities if "server-ca" in a.subject.rfc4514_string()]
        return b"".join(a.public_bytes(Encoding.PEM) for a in server_cas)

    def certificate_life_s(self, now_s: float) -> float:
        """How long this machine's certificate still lives, whatever key it is for; 0 where there is
        none.
        """
        certificate = self.own_certificate
        ends = certificate.not_valid_after_utc.timestamp() if certificate is not None else 0.0
        return max(0.0, ends - now_s)


class StateFile:
    """The state in `folder`, replaced as a whole, 0600."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / JOINED
        self.status_path = folder / "status.json"
        state_folder(folder)

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """This folder for this process: a second agent would flush what the first has in the TPM,
        and the two would overwrite each other's state. Raises Refused (CONFLICT) where another has
        it.
        """
        lock = self.folder / "agent.lock"
        try:
            descriptor = hold(lock)
        except BlockingIOError as error:
            raise Refused.of(
                Reason.CONFLICT,
                f"{self.folder} for this agent alone",
                "another agent runs on it",
                "framegate-agent status shows it; stop it first, or choose another --state folder",
            ) from error
        try:
            yield
        finally:
            os.close(descriptor)

    @property
    def held(self) -> bool:
        """Whether an agent runs on this folder, whatever it could write there of late."""
        try:
            os.close(hold(self.folder / "agent.lock"))
        except BlockingIOError:
            return True
        return False

    def load(self) -> AgentState:
        """The state. Raises Unavailable where this machine has not joined, Refused where the file
        is damaged.
        """
        try:
            body = json.loads(self.path.read_text())
            return AgentState(**{**body, "authorities": tuple(body["authorities"])})
        except FileNotFoundError as error:
            raise Unavailable.of(
                Reason.UNAVAILABLE,
                "a machine that has joined a fleet",
                f"no {self.path}",
                "framegate-agent join TICKET",
            ) from error
        except (ValueError, TypeError, KeyError) as error:
            raise Refused.of(
                Reason.MALFORMED,
                f"a state file in {self.path}",
                type(error).__name__,
                "remove it and rejoin: framegate-agent join TICKET",
            ) from error

    def save(self, state: AgentState) -> None:
        """Replace the state; a power cut leaves the old or the new one."""
        keep_private(self.path, json.dumps(asdict(state), indent=1).encode())

    def load_masks(self) -> bytes:
        """The masks' signed envelope that was last taken in; empty where there never were any."""
        path = self.folder / "masks.json"
        return path.read_bytes() if path.exists() else b""

    def save_masks(self, envelope: bytes) -> None:
        """Keep masks over restarts."""
        keep_private(self.folder / "masks.json", envelope)

    def load_clock(self) -> bytes:
        """What the clock remembers, as it was last kept; empty where it never was, or cannot be
        read: no agent stands still for that.
        """
        path = self.folder / "clock.json"
        try:
            return path.read_bytes()
        except FileNotFoundError:
            return b""
        except OSError as error:
            log.warning("what was remembered of the fleet's time cannot be read: %s", error)
            return b""

    def save_clock(self, remembered: bytes) -> None:
        """Keep it over restarts; a power cut may leave none, and then no clock is set back."""
        keep_private(self.folder / "clock.json", remembered, durable=False)

    def write_status(self, status: dict[str, Any]) -> None:
        """What `framegate-agent status` shows."""
        keep_private(self.status_path, json.dumps(status).encode(), durable=False)
