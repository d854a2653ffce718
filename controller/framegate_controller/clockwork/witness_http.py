"""Asking a witness over HTTP, within a time and some kilobytes."""

from __future__ import annotations

from typing import Final

import requests

from framegate.errors import Reason, Unavailable
from framegate_controller.bounded_http import bounded
from framegate_controller.clockwork.cosigning import Ask, Reply

MAX_REPLY_BYTES: Final = 16 * 1024
"""Some lines of signatures."""


def asking(address: str) -> Ask:
    """Asks the witness whose submission prefix is `address`; each time on a connection of its
    own.
    """

    def ask(body: bytes) -> Reply:
        try:
            with bounded(requests.Session(), True) as session:
                session.trust_env = False  # no proxy, no password file of whoever started us
                answer = session.post(
                    f"{address.rstrip('/')}/add-checkpoint", data=body, allow_redirects=False
                )
        except requests.RequestException as error:
            hint = "framegate witness list"
            came = type(error).__name__
            raise Unavailable.of(Reason.UNAVAILABLE, f"{address}", came, hint) from error
        kind = answer.headers.get("Content-Type", "").partition(";")[0]
        return Reply(answer.status_code, kind, answer.content[:MAX_REPLY_BYTES])

    return ask
