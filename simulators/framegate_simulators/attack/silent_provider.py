"""An OpenID provider that takes connections and never says a word."""

from __future__ import annotations

import socket
import threading


class SilentProvider:
    """An OpenID provider that takes connections and never says a word."""

    def __init__(self) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.issuer = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        self._taken: list[socket.socket] = []
        threading.Thread(target=self._take, daemon=True).start()

    def _take(self) -> None:
        while True:
            try:
                self._taken.append(self._listening.accept()[0])
            except OSError:
                return

    @property
    def asked(self) -> int:
        """Connections so far."""
        return len(self._taken)

    def close(self) -> None:
        """Hang up on everybody."""
        self._listening.close()
        for taken in self._taken:
            taken.close()
