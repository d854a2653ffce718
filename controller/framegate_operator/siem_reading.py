"""Reading a SIEM's copy of the record back by the SIEM's own interface.

Nothing that comes is believed: it is held against the record's signed head (`ocsf/copy.py`). What
is no event of this fleet is left out and counted; where it was one, its entry is missing then.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import quote, urlencode

from framegate.errors import FramegateError, Malformed, Reason, Refused, Unavailable
from framegate.registry.sink import SinkKind
from framegate_host.collector_folder import CollectorFolder
from framegate_host.programs import way_to
from framegate_operator.siem_copies import event_in
from framegate_operator.siem_http import SiemHttp

PAGE: Final = 500
"""Events of one page: some 1.5 MB."""
MOST_TIMES: Final = 20
MOST_MORE: Final = 100_000
"""A topic or index may have what others wrote, and entries that came again; without an end it has
something else in mind."""
KEPT: Final = "2m"
"""How long Elastic keeps a scroll for the next page."""
SOURCE_TYPE: Final = "framegate:ocsf"
KAFKA_S: Final = 30.0
"""For brokers to answer, and for the next of the messages that they said they have."""
KAFKA_LOOK_S: Final = 0.2
"""It waits so long for a page to be full."""
_JSON: Final = MappingProxyType({"Content-Type": "application/json"})
_FORM: Final = MappingProxyType({"Content-Type": "application/x-www-form-urlencoded"})


@dataclass(frozen=True, slots=True, kw_only=True)
class CopySource:
    """Where a copy is read: as the sink that wrote it, at an address that may be another, with
    credentials of the reader's own.
    """

    kind: SinkKind
    address: str
    channel: str
    credentials: CollectorFolder


class ReadBack:
    """The events of one fleet in a SIEM; `others` counts what else there was."""

    def __init__(self, source: CopySource, fleet: str, size: int) -> None:
        """Of a record of `size` entries. Raises Refused (USAGE) for a kind without an interface."""
        if source.kind not in READERS:
            raise Refused.of(
                Reason.USAGE,
                f"a sink that can be read back: {', '.join(sorted(READERS))}",
                source.kind,
                "take the events out yourself: framegate siem verify FILE",
            )
        self._source, self._fleet, self._most = source, fleet, MOST_TIMES * size + MOST_MORE
        self.others = 0

    def events(self) -> Iterator[Mapping[str, Any]]:
        """In the SIEM's order. Raises Unavailable, Malformed."""
        for number, value in enumerate(READERS[self._source.kind](self._source)):
            if number >= self._most:
                wanted = f"at most {self._most} events, for what the record has"
                raise Malformed.of(Reason.TOO_LARGE, wanted, "a SIEM that comes to no end")
            event = self._ours(value)
            if event is None:
                self.others += 1
            else:
                yield event

    def _ours(self, value: Any) -> Mapping[str, Any] | None:
        try:
            event = event_in(value)
            metadata = event["metadata"]
            return event if metadata["tenant_uid"] == self._fleet else None
        except (ValueError, TypeError, KeyError, RecursionError):
            return None


def _elastic(source: CopySource) -> Iterator[Any]:
    """Every document of an index, by a scroll: Elasticsearch and OpenSearch both have it."""
    http, token = SiemHttp(source.address, source.credentials), source.credentials.token()
    headers = dict(_JSON) | ({"Authorization": f"ApiKey {token}"} if token else {})

    def ask(method: str, path: str, **body: Any) -> dict[str, Any]:
        return http.ask(method, path, json.dumps(body).encode(), headers)

    index = quote(source.channel, safe="")
    page = ask("POST", f"/{index}/_search?scroll={KEPT}", size=PAGE, sort=["_doc"])
    scroll = _scroll(page)
    try:
        while hits := _hits(page):
            yield from hits
            page = ask("POST", "/_search/scroll", scroll=KEPT, scroll_id=scroll)
            scroll = _scroll(page)
    finally:
        with suppress(FramegateError):  # it ends by itself, too
            ask("DELETE", "/_search/scroll", scroll_id=[scroll])


def _hits(page: Mapping[str, Any]) -> list[Any]:
    """A page's hits. A search that timed out, or had no answer of some shards, is no copy."""
    shards, inner = page.get("_shards"), page.get("hits")
    hits = inner.get("hits") if isinstance(inner, dict) else None
    whole = isinstance(shards, dict) and shards.get("failed") == 0
    if page.get("timed_out") is not False or not whole or type(hits) is not list:
        wanted = "a whole page of a search: no shard failed, not timed out"
        raise Malformed.of(Reason.MALFORMED, wanted, f"{json.dumps(page)[:120]!a}")
    return hits


def _scroll(page: Mapping[str, Any]) -> str:
    identifier = page.get("_scroll_id")
    if type(identifier) is not str:
        raise Malformed.of(Reason.MALFORMED, "a scroll's id", f"{identifier!r:.80}")
    return identifier


def _splunk(source: CopySource) -> Iterator[Any]:
    """Every event of an index that has our source type, by an export: lines while it searches."""
    http, token = SiemHttp(source.address, source.credentials), source.credentials.token()
    headers = dict(_FORM) | ({"Authorization": f"Bearer {token}"} if token else {})
    form = {
        "search": f'search index="{source.channel}" sourcetype="{SOURCE_TYPE}" | table _raw',
        "earliest_time": "0",
        "latest_time": "+1d",
        "output_mode": "json",
        "preview": "0",
    }
    body = urlencode(form).encode()
    for line in http.lines("POST", "/services/search/jobs/export", body, headers):
        if line.strip():
            yield from _result(line)


def _result(line: bytes) -> Iterator[Any]:
    """What an export's line has: a result that is final, or Splunk's word on the search."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise Malformed.of(Reason.MALFORMED, "lines of JSON", f"{line[:80]!a}") from error
    if type(row) is not dict:
        raise Malformed.of(Reason.MALFORMED, "an object a line", f"{line[:80]!a}")
    for message in row.get("messages") or ():
        if not isinstance(message, dict) or message.get("type") in {"FATAL", "ERROR"}:
            raise Unavailable.of(Reason.UNAVAILABLE, "a search that ends well", f"{message!a:.200}")
    if row.get("preview") is not True and "result" in row:
        yield row["result"]


def _kafka(source: CopySource) -> Iterator[Any]:
    """Every message that a topic has when it is begun, in each of its partitions."""
    kafka = _kafka_library()
    consumer = kafka.Consumer(_kafka_settings(source))
    try:
        topic = consumer.list_topics(source.channel, timeout=KAFKA_S).topics[source.channel]
        if topic.error is not None:
            raise Unavailable.of(Reason.UNAVAILABLE, f"a topic {source.channel}", topic.error)
        ends, begins = dict[int, int](), []
        for number in topic.partitions:
            place = kafka.TopicPartition(source.channel, number)
            low, high = consumer.get_watermark_offsets(place, timeout=KAFKA_S)
            if high > low:
                ends[number] = high
                begins.append(kafka.TopicPartition(source.channel, number, low))
        consumer.assign(begins)
        until = time.monotonic() + KAFKA_S
        while ends:
            for message in consumer.consume(PAGE, timeout=KAFKA_LOOK_S):
                yield from _message(kafka, message, ends)
                until = time.monotonic() + KAFKA_S
            if time.monotonic() > until:
                raise Unavailable.of(Reason.UNAVAILABLE, "the rest of the topic", "nothing more")
    except kafka.KafkaException as error:
        raise Unavailable.of(Reason.UNAVAILABLE, f"brokers at {source.address}", error) from error
    finally:
        consumer.close()


def _message(kafka: Any, message: Any, ends: dict[int, int]) -> Iterator[Any]:
    """A message's value; a partition that is at its end is taken out of `ends`."""
    number, error = message.partition(), message.error()
    if error is not None and error.code() != kafka.KafkaError._PARTITION_EOF:
        raise kafka.KafkaException(error)
    if error is not None or message.offset() >= ends.get(number, 0) - 1:
        ends.pop(number, None)
    if error is None:
        value = message.value()
        yield value.decode("utf-8", "replace") if value is not None else ""


def _kafka_settings(source: CopySource) -> dict[str, Any]:
    settings: dict[str, Any] = {
        "bootstrap.servers": source.address,
        # partitions are assigned and nothing is committed: a group of this name never forms
        "group.id": f"framegate-verify-{uuid.uuid4()}",
        "enable.auto.commit": False,
        "enable.partition.eof": True,
        "client.id": "framegate",
    }
    folder = source.credentials
    if all(folder.plain(a.rpartition(":")[0].strip("[]")) for a in source.address.split(",")):
        return settings
    settings["security.protocol"] = "ssl"
    if folder.ca is not None:
        settings["ssl.ca.location"] = str(folder.ca)
    if folder.client is not None:
        settings["ssl.certificate.location"] = str(folder.client)
        settings["ssl.key.location"] = str(folder.client)
    return settings


def _kafka_library() -> Any:
    try:
        import confluent_kafka  # noqa: PLC0415 - an extra of its own
    except ModuleNotFoundError as error:
        raise Unavailable.of(
            Reason.UNAVAILABLE, "the extra kafka", "none", way_to("kafka")
        ) from error
    return confluent_kafka


READERS: Final[Mapping[SinkKind, Callable[[CopySource], Iterator[Any]]]] = MappingProxyType(
    {SinkKind.ELASTIC: _elastic, SinkKind.HEC: _splunk, SinkKind.KAFKA: _kafka}
)
"""Who reads by what; the others keep nothing that could be asked for, or are read as files."""
