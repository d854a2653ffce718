"""Addresses that a gateway listens on: fixed, because grants name them before they open."""

from __future__ import annotations

import socket

from framegate.errors import Reason, Unavailable


def require_free(host: str, port: int) -> None:
    """That nobody listens on this address yet. Raises Unavailable."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise Unavailable.of(
                Reason.UNAVAILABLE,
                f"{host}:{port} free to listen on",
                error.strerror or error,
                "another gateway may be running; choose --port and --operator-port",
            ) from error
