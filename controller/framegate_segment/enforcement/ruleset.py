"""The rules in the kernel: put in by the `nft` program, as one transaction, which keeps sets."""

from __future__ import annotations

import os
import subprocess
from collections import deque
from typing import Final

from framegate.errors import Reason, Refused, Unavailable

NFT_TIMEOUT_S: Final = 10.0
"""Some milliseconds; a machine under load takes longer, and a stuck one is told of."""
PATHS: Final = "/usr/sbin:/sbin:/usr/bin:/bin"
_REMEMBERED: Final = 64


class Ruleset:
    """Installs rules; remembers as whom, so that the kernel's events of it are known as ours."""

    def __init__(self) -> None:
        self._installers: deque[int] = deque(maxlen=_REMEMBERED)

    def install(self, rules: str) -> None:
        """All of `rules`, or nothing of it. Raises Unavailable where there is no nft, Refused
        (SEGMENT) where it takes them not.
        """
        environment = {**os.environ, "PATH": PATHS, "LC_ALL": "C"}
        try:
            child = subprocess.Popen(
                ["nft", "-f", "-"],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                env=environment,
            )
        except FileNotFoundError as error:
            hint = "apt-get install nftables"
            raise Unavailable.of(Reason.UNAVAILABLE, "the program nft", "none", hint) from error
        self._installers.append(child.pid)
        try:
            _, problem = child.communicate(rules.encode(), NFT_TIMEOUT_S)
        except subprocess.TimeoutExpired as error:
            child.kill()
            child.wait()
            expected = f"nft to take rules within {NFT_TIMEOUT_S:g} s"
            raise Unavailable.of(Reason.UNAVAILABLE, expected, "it did not answer") from error
        if child.returncode:
            said = problem.decode("utf-8", "replace").strip()
            seen = said.splitlines()[0] if said else "no word"
            hint = "CAP_NET_ADMIN; nft 1.0.6 or later"
            raise Refused.of(Reason.SEGMENT, "rules that nft takes", ascii(seen)[:200], hint)

    def installed_by(self, port_id: int) -> bool:
        """Whether a transaction of this netlink port was one of ours: the program's port is its
        process id (netlink(7), nl_pid).
        """
        return port_id in self._installers
