"""Sinks over HTTP: Splunk's event collector, Elastic's bulk interface, a webhook."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import requests

from framegate.redaction import clipped
from framegate_controller.bounded_http import bounded
from framegate_controller.sinks.credentials import Credentials
from framegate_controller.sinks.delivery import (
    Outgoing,
    SinkFailed,
    SinkRefused,
    json_bytes,
)

ACK_S: Final = 30.0
"""How long Splunk's indexers may take to acknowledge; some seconds, when they are busy."""
ACK_EVERY_S: Final = 0.1
SOURCE_TYPE: Final = "framegate:ocsf"
_REFUSES: Final = frozenset({400, 413, 422})
"""Of the content itself. 401, 403 and 404 are of the configuration, which a person mends."""
_DEAD_ITEMS: Final = frozenset({400, 413, 422})


class Exchange:
    """Requests to one address: bounded in time and bytes, no redirects, no proxy."""

    def __init__(self, address: str, credentials: Credentials) -> None:
        self._address = address.rstrip("/")
        ca, client = credentials.ca, credentials.client
        self._session = bounded(requests.Session(), str(ca) if ca is not None else True)
        self._session.trust_env = False
        self._session.cert = str(client) if client is not None else None

    def post(self, path: str, body: bytes, headers: Mapping[str, str]) -> requests.Response:
        """The answer, whatever its status but those that ask for a pause. Raises SinkFailed."""
        try:
            response = self._session.post(
                self._address + path, data=body, headers=dict(headers), allow_redirects=False
            )
        except (requests.RequestException, OSError) as error:
            raise SinkFailed(f"{type(error).__name__}: {clipped(str(error), 200)}") from error
        if response.status_code in {429, 502, 503, 504}:
            raise SinkFailed(f"HTTP {response.status_code}", _retry_after(response))
        return response

    def close(self) -> None:
        """Let go of connections."""
        self._session.close()


def _retry_after(response: requests.Response) -> float:
    text = response.headers.get("Retry-After", "")
    return float(text) if text.isascii() and text.isdecimal() else 0.0


def answer_json(response: requests.Response) -> dict[str, Any]:
    """The answer's JSON object. Raises SinkFailed."""
    try:
        body = response.json()
    except (ValueError, RecursionError) as error:
        raise SinkFailed(f"HTTP {response.status_code}, and no JSON") from error
    if type(body) is not dict:
        raise SinkFailed(f"HTTP {response.status_code}, and no JSON object")
    return body


def _said(response: requests.Response) -> str:
    return f"HTTP {response.status_code}: {response.text[:200]}"


class HecSink:
    """Splunk's HTTP event collector. A 200 comes before anything is indexed: what counts is the
    acknowledgement, which the token has to have switched on.
    """

    def __init__(
        self,
        address: str,
        index: str,
        credentials: Credentials,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._exchange, self._index = Exchange(address, credentials), index
        self._credentials, self._clock = credentials, clock
        self._channel = str(uuid.uuid4())

    def deliver(self, batch: Sequence[Outgoing]) -> None:
        """See `SinkDriver.deliver`."""
        headers = {
            "Authorization": f"Splunk {self._credentials.token()}",
            "X-Splunk-Request-Channel": self._channel,
            "Content-Type": "application/json",
        }
        body = b"\n".join(json_bytes(self._event(o)) for o in batch)
        response = self._exchange.post("/services/collector/event", body, headers)
        if response.status_code in _REFUSES:
            raise SinkRefused(_said(response))
        if response.status_code != 200:
            raise SinkFailed(_said(response))
        said = answer_json(response).get("ackId")
        if type(said) is not int:
            raise SinkFailed("no ackId: switch on indexer acknowledgement for this token")
        self._wait(said, headers)

    def close(self) -> None:
        """See `SinkDriver.close`."""
        self._exchange.close()

    def _event(self, outgoing: Outgoing) -> dict[str, Any]:
        return {
            "time": outgoing.event["time"] / 1000,
            "host": outgoing.device or "framegate-controller",
            "source": outgoing.uid,
            "sourcetype": SOURCE_TYPE,
            "index": self._index,
            "event": outgoing.event,
        }

    def _wait(self, number: int, headers: Mapping[str, str]) -> None:
        until = self._clock() + ACK_S
        path, asked = f"/services/collector/ack?channel={self._channel}", {"acks": [number]}
        while self._clock() < until:
            response = self._exchange.post(path, json_bytes(asked), headers)
            if response.status_code != 200:
                raise SinkFailed(_said(response))
            acks = answer_json(response).get("acks")
            if type(acks) is dict and acks.get(str(number)) is True:
                return
            time.sleep(ACK_EVERY_S)
        raise SinkFailed(f"no acknowledgement within {ACK_S:g} s")


class ElasticSink:
    """Elastic's, or OpenSearch's, bulk interface: `create` under our id, so that what is sent twice
    is there once. A 200 is of the request; every entry has a status of its own.
    """

    def __init__(self, address: str, index: str, credentials: Credentials) -> None:
        self._exchange, self._index = Exchange(address, credentials), index
        self._credentials = credentials

    def deliver(self, batch: Sequence[Outgoing]) -> None:
        """See `SinkDriver.deliver`."""
        token = self._credentials.token()
        headers = {"Content-Type": "application/x-ndjson"} | (
            {"Authorization": f"ApiKey {token}"} if token else {}
        )
        lines = []
        for o in batch:
            lines += [json_bytes({"create": {"_index": self._index, "_id": o.uid}}), o.body]
        response = self._exchange.post("/_bulk", b"\n".join(lines) + b"\n", headers)
        if response.status_code in _REFUSES:
            raise SinkRefused(_said(response))
        if response.status_code != 200:
            raise SinkFailed(_said(response))
        self._require_items(answer_json(response).get("items"), batch)

    def close(self) -> None:
        """See `SinkDriver.close`."""
        self._exchange.close()

    def _require_items(self, items: Any, batch: Sequence[Outgoing]) -> None:
        """Each entry of `batch`, in order, was created or is there.

        1. as many items as entries; 2. each of our id; 3. statuses 201 (200) and 409. Raises
        SinkRefused where all that did not hold of some are refused for good, else SinkFailed.
        """
        if type(items) is not list or len(items) != len(batch):  # 1
            raise SinkFailed("an answer that is not of this batch")
        refused = ""
        for item, outgoing in zip(items, batch, strict=True):
            done = item.get("create") if type(item) is dict else None
            if type(done) is not dict or done.get("_id") != outgoing.uid:  # 2
                raise SinkFailed("an answer that is not of this batch")
            status = done.get("status")
            if status in {200, 201, 409}:  # 3
                continue
            why = f"status {status}: {json.dumps(done.get('error', ''))[:200]}"
            if status not in _DEAD_ITEMS:
                raise SinkFailed(why)
            refused = refused or why
        if refused:
            raise SinkRefused(refused)


class WebhookSink:
    """POSTs a JSON array; any 2xx confirms it. `Idempotency-Key` is the first and the last id."""

    def __init__(self, address: str, credentials: Credentials) -> None:
        self._exchange, self._credentials = Exchange(address, credentials), credentials

    def deliver(self, batch: Sequence[Outgoing]) -> None:
        """See `SinkDriver.deliver`."""
        token = self._credentials.token()
        headers = {
            "Content-Type": "application/json",
            "Idempotency-Key": f"{batch[0].uid}-{batch[-1].index}",
        } | ({"Authorization": f"Bearer {token}"} if token else {})
        body = b"[" + b",".join(o.body for o in batch) + b"]"
        response = self._exchange.post("", body, headers)
        if response.status_code in _REFUSES:
            raise SinkRefused(_said(response))
        if not 200 <= response.status_code < 300:
            raise SinkFailed(_said(response))

    def close(self) -> None:
        """See `SinkDriver.close`."""
        self._exchange.close()
