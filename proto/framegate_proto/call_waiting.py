"""For which calls a server waits by themselves.

gRPC waits for each method's next call with a future of its own, and with each call that comes looks
at all of them again: a hundred methods cost some 0.1 ms of a processor a call. What comes seldom is
waited for together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import grpc


class _TogetherBut:
    """What adding a service asks of a server."""

    def __init__(self, server: grpc.aio.Server, apart: frozenset[str]) -> None:
        self._server, self._apart = server, apart

    def add_generic_rpc_handlers(self, handlers: Sequence[grpc.GenericRpcHandler]) -> None:
        """What answers every call of a service, however it is waited for."""
        self._server.add_generic_rpc_handlers(handlers)

    def add_registered_method_handlers(
        self, service: str, handlers: Mapping[str, grpc.RpcMethodHandler[Any, Any]]
    ) -> None:
        """Those for which a future of their own waits."""
        own = {name: handler for name, handler in handlers.items() if name in self._apart}
        if own:
            self._server.add_registered_method_handlers(service, own)


def waited_together(server: grpc.aio.Server, *apart: str) -> grpc.aio.Server:
    """`server`, to add a service to whose calls are waited for together with all such, but for
    those of the methods `apart`, which come often.
    """
    return cast(grpc.aio.Server, _TogetherBut(server, frozenset(apart)))
