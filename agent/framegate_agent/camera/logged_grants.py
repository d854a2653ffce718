"""A camera's own demand: what it seals for was decided where witnesses saw it (N205): the model's
approval, and the firmware profile by which the gateway's host was appraised.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from cryptography import x509

from framegate.errors import Failure, FramegateError, Reason, Refused
from framegate.signed.dsse import parse_envelope
from framegate.signed.statement import Grant
from framegate.transparency.cosignature import Quorum
from framegate.transparency.decision import Kind, Named
from framegate_host.cosigned_log import HINT, CosignedLog, model_named
from framegate_proto.decisions import fetch_decisions

FILE = "decisions-head"
"""In the agent's folder: the last cosigned head of the log of decisions."""


class Fetched(NamedTuple):
    """Envelopes of grants, unverified, and why others are not among them."""

    grants: list[bytes]
    failures: tuple[Failure, ...]


class LoggedGrants:
    """What a camera knows of the log of decisions. `folder` keeps it over restarts."""

    def __init__(self, folder: Path, quorum: Quorum) -> None:
        self._log = CosignedLog(folder / FILE, quorum)

    async def only_logged(
        self,
        stub: Any,
        grants: Sequence[bytes],
        failures: Iterable[Failure],
        root: x509.Certificate,
        now_ms: int,
    ) -> Fetched:
        """Of `grants` those whose model's approval and whose host's profile are logged and
        cosigned; of each other why not.

        What a grant names is read here and verified later, out of the same bytes. Raises Malformed.
        """
        parsed = {g: _parsed(g) for g in grants}
        self._log.want(*(n for grant in parsed.values() for n in _rests_on(grant)))
        try:
            if parsed and self._log.due(now_ms):
                answer = await fetch_decisions(stub, self._log.seen, self._log.wanted)
                if answer is None:
                    wanted = f"a head with {self._log.quorum.least} cosignatures"
                    raise Refused.of(Reason.NOT_COSIGNED, wanted, "none published", HINT)
                self._log.take(answer, root, now_ms)
        except FramegateError as error:  # what was proved before stays so while its head is young
            self._log.failed(error)
        logged, why = [], list(failures)
        for envelope, grant in parsed.items():
            try:
                self._require(grant, now_ms)
                logged.append(envelope)
            except FramegateError as error:
                why += error.failures
        return Fetched(logged, tuple(why))

    def _require(self, grant: Grant, now_ms: int) -> None:
        model, profile = grant.model_sha256, grant.profile_sha256
        self._log.require(f"the model {model[:16]}", now_ms, model_named(model))
        if not profile:
            wanted = f"a grant that names the firmware profile of {grant.host}"
            raise Refused.of(Reason.NOT_COSIGNED, wanted, "none", "update the controller first")
        named = Named(Kind.PROFILE, profile)
        self._log.require(f"the firmware profile of {grant.host}", now_ms, named)


def _parsed(envelope: bytes) -> Grant:
    return Grant.parse_payload(parse_envelope(envelope, Grant.TYPE).payload)


def _rests_on(grant: Grant) -> Iterator[Named]:
    yield model_named(grant.model_sha256)
    if grant.profile_sha256:
        yield Named(Kind.PROFILE, grant.profile_sha256)


def logged_grants(folder: Path, quorum: Quorum | None) -> LoggedGrants | None:
    """Over `folder`; None where nothing is demanded."""
    return LoggedGrants(folder, quorum) if quorum is not None else None
