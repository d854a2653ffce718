"""Asking a SIEM over HTTP: bounded answers, no redirects, no proxy, to whom its folder trusts."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from framegate.errors import Malformed, Reason, Unavailable
from framegate.registry.sink import SinkKind, parse_address
from framegate_host.collector_folder import CollectorFolder

ANSWER_S: Final = 60.0
"""For a connection and for any part of an answer: a search over a year begins slowly."""
MAX_ANSWER: Final = 64 * 1024 * 1024
"""Of one page: twenty times what its events usually are."""
MAX_LINE: Final = 2 * 1024 * 1024
"""Of an export's line: the largest event, escaped once more, in its wrapping."""
_SAID: Final = 300
Headers = Mapping[str, str]


class SiemHttp:
    """Requests to one SIEM."""

    def __init__(self, address: str, credentials: CollectorFolder) -> None:
        """`address` is as a sink's: https://, or http:// to this machine. Raises Malformed."""
        parts = urlsplit(parse_address(SinkKind.WEBHOOK, address))
        self._host, self._port = parts.hostname or "", parts.port
        self._secure, self._prefix = parts.scheme == "https", parts.path.rstrip("/")
        self._address, self._credentials = address, credentials

    def ask(self, method: str, path: str, body: bytes, headers: Headers) -> dict[str, Any]:
        """The JSON object that is answered with 200 or 201. Raises Unavailable, Malformed."""
        connection = self._connection()
        try:
            raw = self._answer(connection, method, path, body, headers).read(MAX_ANSWER + 1)
        except (OSError, http.client.HTTPException) as error:
            raise self._unreachable(error) from error
        finally:
            connection.close()
        if len(raw) > MAX_ANSWER:
            raise Malformed.of(Reason.TOO_LARGE, f"an answer of at most {MAX_ANSWER} bytes", "more")
        try:
            value = json.loads(raw)
        except (ValueError, RecursionError) as error:
            raise Malformed.of(Reason.MALFORMED, "an answer in JSON", f"{raw[:80]!a}") from error
        if type(value) is not dict:
            raise Malformed.of(Reason.MALFORMED, "an object in JSON", f"{raw[:80]!a}")
        return value

    def lines(self, method: str, path: str, body: bytes, headers: Headers) -> Iterator[bytes]:
        """The answer's lines as they come. Raises Unavailable, Malformed."""
        connection = self._connection()
        try:
            answer = self._answer(connection, method, path, body, headers)
            while line := answer.readline(MAX_LINE + 1):
                if len(line) > MAX_LINE:
                    wanted = f"lines of at most {MAX_LINE} bytes"
                    raise Malformed.of(Reason.TOO_LARGE, wanted, "a longer one")
                yield line
        except (OSError, http.client.HTTPException) as error:
            raise self._unreachable(error) from error
        finally:
            connection.close()

    def _connection(self) -> http.client.HTTPConnection:
        if not self._secure:
            return http.client.HTTPConnection(self._host, self._port, timeout=ANSWER_S)
        context = self._credentials.context()
        return http.client.HTTPSConnection(
            self._host, self._port, timeout=ANSWER_S, context=context
        )

    def _answer(
        self,
        connection: http.client.HTTPConnection,
        method: str,
        path: str,
        body: bytes,
        headers: Headers,
    ) -> http.client.HTTPResponse:
        connection.request(method, self._prefix + path, body, dict(headers))
        answer = connection.getresponse()
        if answer.status not in {200, 201}:
            said = answer.read(_SAID).decode("utf-8", "replace")
            hint = "a token that may read" if answer.status in {401, 403} else ""
            raise Unavailable.of(
                Reason.UNAVAILABLE,
                f"{self._address} to answer {method} {path.partition('?')[0]}",
                f"HTTP {answer.status}: {said!a}",
                hint,
            )
        return answer

    def _unreachable(self, error: Exception) -> Unavailable:
        came = f"{type(error).__name__}: {error}"[:_SAID]
        return Unavailable.of(Reason.UNAVAILABLE, f"an answer of {self._address}", came)
