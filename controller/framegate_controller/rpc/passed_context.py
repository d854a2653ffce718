"""A call that a join port passed on, as its handler sees and ends it."""

from __future__ import annotations

import grpc

from framegate_proto.edge import FAILURES_KEY


class PassedContext:
    """A call that the port passed on, as a handler sees it."""

    def __init__(self, peer: str) -> None:
        self._peer = peer

    def peer(self) -> str:
        """gRPC's name of the peer; its port, which nothing here asks for, is 0."""
        return f"{self._peer}:0"

    async def abort(
        self,
        code: grpc.StatusCode,
        details: str = "",
        trailing_metadata: tuple[tuple[str, bytes], ...] = (),
    ) -> None:
        """End the call. Raises Ended."""
        raise Ended(code, details, dict(trailing_metadata).get(FAILURES_KEY, b""))


class Ended(grpc.aio.AbortError):
    """A call that was ended by its handler."""

    def __init__(self, code: grpc.StatusCode, details: str, failures: bytes) -> None:
        super().__init__(details)
        self.code, self.details, self.failures = code, details, failures
