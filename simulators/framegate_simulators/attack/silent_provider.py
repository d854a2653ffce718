"""An OpenID provider that takes connections and never says a word, or never says its last."""

from __future__ import annotations

import socket
import threading
import time
from typing import Final

BETWEEN_S: Final = 1.0
"""Between two bytes of an answer that never ends: well below any timeout of a socket."""
HEAD: Final = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n"


class SilentProvider:
    """An OpenID provider that takes connections and never says a word; while `trickles`, it answers
    with a byte a second.
    """

    def __init__(self) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.issuer = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        self.trickles = False
        self.hung_up = 0
        """On how many answers that trickled somebody hung up."""
        self._taken: list[socket.socket] = []
        threading.Thread(target=self._take, daemon=True).start()

    def _take(self) -> None:
        while True:
            try:
                taken = self._listening.accept()[0]
            except OSError:
                return
            self._taken.append(taken)
            if self.trickles:
                threading.Thread(target=self._trickle, args=(taken,), daemon=True).start()

    def _trickle(self, taken: socket.socket) -> None:
        try:
            taken.recv(65_536)
            taken.sendall(HEAD)
            while self.trickles:
                time.sleep(BETWEEN_S)
                taken.sendall(b"x")
        except OSError:
            self.hung_up += 1

    @property
    def asked(self) -> int:
        """Connections so far."""
        return len(self._taken)

    def close(self) -> None:
        """Hang up on everybody."""
        self.trickles = False
        self._listening.close()
        for taken in self._taken:
            taken.close()
