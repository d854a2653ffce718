"""A camera's own demand: models it seals for were approved where witnesses saw it (N205)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from cryptography import x509

from framegate.errors import Failure, FramegateError, Reason, Refused
from framegate.signed.dsse import parse_envelope
from framegate.signed.statement import Grant
from framegate.transparency.cosignature import Quorum
from framegate_host.cosigned_log import HINT, CosignedLog, model_named
from framegate_proto.decisions import fetch_decisions

FILE = "decisions-head"
"""In the agent's folder: the last cosigned head of the log of decisions."""


class Fetched(NamedTuple):
    """Envelopes of grants, unverified, and why others are not among them."""

    grants: list[bytes]
    failures: tuple[Failure, ...]


class LoggedModels:
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
        """Of `grants` those whose model's approval is logged and cosigned; of each other why not.

        Which model a grant names is read here and verified later, out of the same bytes. Raises
        Malformed.
        """
        models = {g: _model_of(g) for g in grants}
        self._log.want(*(model_named(m) for m in models.values()))
        try:
            if models and self._log.due(now_ms):
                answer = await fetch_decisions(stub, self._log.seen, self._log.wanted)
                if answer is None:
                    wanted = f"a head with {self._log.quorum.least} cosignatures"
                    raise Refused.of(Reason.NOT_COSIGNED, wanted, "none published", HINT)
                self._log.take(answer, root, now_ms)
        except FramegateError as error:  # what was proved before stays so while its head is young
            self._log.failed(error)
        logged, why = [], list(failures)
        for envelope, model in models.items():
            try:
                self._log.require(f"the model {model[:16]}", now_ms, model_named(model))
                logged.append(envelope)
            except FramegateError as error:
                why += error.failures
        return Fetched(logged, tuple(why))


def _model_of(envelope: bytes) -> str:
    return Grant.parse_payload(parse_envelope(envelope, Grant.TYPE).payload).model_sha256


def logged_models(folder: Path, quorum: Quorum | None) -> LoggedModels | None:
    """Over `folder`; None where nothing is demanded."""
    return LoggedModels(folder, quorum) if quorum is not None else None
