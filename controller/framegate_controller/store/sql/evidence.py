"""Kept evidence, what it refers to and its results over SQLAlchemy."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from typing import Any, Final

from sqlalchemy import (
    FromClause,
    Row,
    ScalarSelect,
    bindparam,
    delete,
    func,
    insert,
    select,
    update,
)

from framegate.errors import Reason, Refused
from framegate.identity.names import DeviceId
from framegate.ima.allowlist import Allowlist, parse_allowlist
from framegate.registry.evidence import KeptEvidence, KeptResult
from framegate.wire import sha256
from framegate_controller.store.ports import Sweep, Swept
from framegate_controller.store.ports.controllers import READS, Controllers
from framegate_controller.store.sql.device_rows import DEVICES
from framegate_controller.store.sql.ear_form import packed_ear, unpacked_ear
from framegate_controller.store.sql.evidence_room import (
    HELD,
    HELD_EVIDENCE,
    collect,
    trim,
    unused,
)
from framegate_controller.store.sql.prepared import Prepared
from framegate_controller.store.sql.rows import (
    INSERTS,
    Rows,
    failures_text,
    fields_of,
    read_failures,
    read_mapping,
    table_of,
)
from framegate_controller.store.tables import evidence

MIN_DIGITS: Final = 6
"""Of an id that somebody typed: fewer are chance."""
_EVIDENCE: Final = table_of(evidence.EvidenceRow)
_RESULTS: Final = table_of(evidence.Result)
_HEADERS: Final = table_of(evidence.EarHeader)
_LOGS: Final = table_of(evidence.BootLogRow)
_SEGMENTS: Final = table_of(evidence.ImaSegment)
_ALLOWLISTS: Final = table_of(evidence.AllowlistRow)


def _last_of(of_device: FromClause) -> ScalarSelect[Any]:
    """Id of the last evidence of the device `of`."""
    e = of_device.c
    return (
        select(e.id)
        .where(e.device == bindparam("of"))
        .order_by(e.last_ms.desc())
        .limit(1)
        .scalar_subquery()
    )


_SEEN_AGAIN: Final = Prepared(
    update(_EVIDENCE)
    .where(
        _EVIDENCE.c.id == _last_of(_EVIDENCE.alias()),
        _EVIDENCE.c.content_sha256 == bindparam("content"),
    )
    .values(count=_EVIDENCE.c.count + 1)
    .returning(_EVIDENCE.c.id)
)
_ADD: Final = Prepared(insert(_EVIDENCE))
_PRUNE: Final = Prepared(
    delete(_EVIDENCE).where(
        _EVIDENCE.c.device == bindparam("of"),
        _EVIDENCE.c.last_ms < bindparam("before"),
        _EVIDENCE.c.id.not_in(HELD),
    )
)
_BOOT_LOG: Final = Prepared(select(_LOGS.c.content).where(_LOGS.c.sha256 == bindparam("of")))
_HAS_BOOT_LOG: Final = Prepared(select(_LOGS.c.sha256).where(_LOGS.c.sha256 == bindparam("of")))
_FROM_HERE_ON: Final = Prepared(
    delete(_SEGMENTS).where(
        _SEGMENTS.c.device == bindparam("of"),
        _SEGMENTS.c.reset_count == bindparam("reset"),
        _SEGMENTS.c.restart_count == bindparam("restart"),
        _SEGMENTS.c.start >= bindparam("first"),
    )
)
_OF_LOST_BOOTS: Final = Prepared(
    delete(_SEGMENTS).where(
        _SEGMENTS.c.device == bindparam("of"),
        _SEGMENTS.c.reset_count != bindparam("reset"),
        _SEGMENTS.c.reset_count.not_in(
            select(_EVIDENCE.c.reset_count).where(_EVIDENCE.c.device == bindparam("of"))
        ),
    )
)
"""IMA entries of boots from which no evidence is kept any more."""
_ADD_SEGMENT: Final = Prepared(insert(_SEGMENTS))
_ADD_HEADER: Final = {
    name: Prepared(put(_HEADERS).on_conflict_do_nothing()) for name, put in INSERTS.items()
}
_ADD_RESULT: Final = Prepared(insert(_RESULTS))


class SqlEvidence:
    """See `ports.EvidenceKept`."""

    def __init__(self, rows: Rows, controllers: Controllers) -> None:
        self._rows, self._controllers = rows, controllers
        self._headers: set[bytes] = set()
        self._again: dict[tuple[str, bytes], Callable[[], Any]] = {}

    def get(self, identifier: str) -> KeptEvidence | None:
        """By id."""
        row = self._rows.one(select(_EVIDENCE).where(_EVIDENCE.c.id == identifier))
        return self._evidence(row) if row is not None else None

    def last(self, device: str) -> KeptEvidence | None:
        """The device's last evidence that verified."""
        query = (
            select(_EVIDENCE)
            .where(_EVIDENCE.c.device == device)
            .order_by(_EVIDENCE.c.last_ms.desc())
            .limit(1)
        )
        row = self._rows.one(query)
        return self._evidence(row) if row is not None else None

    def last_content(self, device: str) -> tuple[str, bytes] | None:
        """See `ports.EvidenceKept.last_content`."""
        e = _EVIDENCE.c
        query = select(e.id, e.content_sha256).where(e.device == device)
        row = self._rows.one(query.order_by(e.last_ms.desc()).limit(1))
        return (row.id, row.content_sha256) if row is not None else None

    def ids_since(
        self, since_ms: int, *, device: str = "", profile: str = ""
    ) -> list[tuple[str, str]]:
        """See `ports.EvidenceKept.ids_since`."""
        query = select(_EVIDENCE.c.id, DEVICES.c.zone).join(
            DEVICES, DEVICES.c.id == _EVIDENCE.c.device
        )
        query = query.where(_EVIDENCE.c.last_ms >= since_ms)
        query = query.where(DEVICES.c.id == device) if device else query
        query = query.where(DEVICES.c.profile == profile) if profile else query
        return [
            (r.id, r.zone)
            for r in self._rows.all(query.order_by(_EVIDENCE.c.device, _EVIDENCE.c.first_ms))
        ]

    def add(self, evidence: KeptEvidence) -> None:
        """See `ports.EvidenceKept.add`."""
        columns = fields_of(evidence)
        raw, log = columns.pop("raw"), self.boot_log(evidence.boot_log_sha256) or b""
        log_at = raw.find(log) if log and self._controllers.all_read(READS) else -1
        rest = raw if log_at < 0 else raw[:log_at] + raw[log_at + len(log) :]
        packed = {
            "proof": zlib.compress(rest),
            "log_at": log_at,
            "pcrs": json.dumps(list(evidence.pcrs)),
            "failures": failures_text(evidence.failures),
            "vector": json.dumps(dict(evidence.vector)),
        }
        self._rows.run(_ADD, {**columns, **packed})

    def seen_again(self, device: str, content_sha256: bytes, ear: str, now_ms: int) -> str | None:
        """See `ports.EvidenceKept.seen_again`."""
        if (device, content_sha256) not in self._again:
            self.expect_again(device, content_sha256, ear, now_ms)
        row = self._again.pop((device, content_sha256))()
        return row.id if row is not None else None

    def expect_again(self, device: str, content_sha256: bytes, ear: str, now_ms: int) -> None:
        """See `ports.EvidenceKept.expect_again`."""
        self._controllers.expect(READS)  # whoever keeps evidence keeps a result of it
        values = {"of": device, "content": content_sha256, "last_ms": now_ms, "ear": ear}
        self._again[device, content_sha256] = self._rows.ahead(_SEEN_AGAIN, values)

    def hold(self, identifier: str, device: str, now_ms: int) -> None:
        """See `ports.EvidenceKept.hold`."""
        if not self.is_held(identifier):
            values = {"evidence": identifier, "device": device, "since_ms": now_ms}
            self._rows.run(insert(HELD_EVIDENCE).values(**values))

    def is_held(self, identifier: str) -> bool:
        """See `ports.EvidenceKept.is_held`."""
        query = select(HELD_EVIDENCE.c.evidence).where(HELD_EVIDENCE.c.evidence == identifier)
        return self._rows.one(query) is not None

    def held_of(self, device: str) -> int:
        """See `ports.EvidenceKept.held_of`."""
        query = select(func.count()).where(HELD_EVIDENCE.c.device == device)
        return int(self._rows.scalar(query))

    def prune(self, device: str, before_ms: int) -> None:
        """Forget what was last seen before."""
        self._rows.run(_PRUNE, {"of": device, "before": before_ms})

    def trim(self, device: str, most: int, most_bytes: int) -> None:
        """See `ports.EvidenceKept.trim`."""
        trim(self._rows, device, most, most_bytes)

    def unused(self, before_ms: int, most: int, after: Sweep) -> Swept:
        """See `ports.EvidenceKept.unused`."""
        gone = unused(self._rows, before_ms, most, after)
        return Swept(bool(gone.evidence or gone.logs or gone.boots), gone.after)

    def collect(self, before_ms: int, most: int, after: Sweep) -> None:
        """See `ports.EvidenceKept.collect`."""
        collect(self._rows, before_ms, most, after)

    def result(self, identifier: str) -> KeptResult | None:
        """See `ports.EvidenceKept.result`."""
        if len(identifier) < MIN_DIGITS:
            return None
        begins = _RESULTS.c.id.startswith(identifier, autoescape=True)
        rows = self._rows.all(select(_RESULTS).where(begins).limit(2))
        if len(rows) != 1:
            return None
        return self._result(rows[0])

    def add_result(self, result: KeptResult) -> None:
        """A new one."""
        columns = fields_of(result)
        packed = packed_ear(result.ear, result) if self._controllers.all_read(READS) else None
        if packed is not None:
            digest = sha256(packed.header.encode())
            self._keep_header(digest, packed.header)
            columns |= {"ear": "", "ear_packed": packed.packed, "ear_header": digest}
        self._rows.later(_ADD_RESULT, columns)

    def _keep_header(self, digest: bytes, header: str) -> None:
        if digest not in self._headers:
            values = {"sha256": digest, "header": header}
            self._rows.later(_ADD_HEADER[self._rows.dialect], values)
            self._headers.add(digest)

    def _result(self, r: Row[Any]) -> KeptResult:
        columns = dict(r._mapping)
        packed, digest = columns.pop("ear_packed"), columns.pop("ear_header")
        if packed:
            row = self._rows.one(select(_HEADERS.c.header).where(_HEADERS.c.sha256 == digest))
            # without its header there is no EAR: whoever shows the result says so
            columns["ear"] = unpacked_ear(packed, row.header, r) if row is not None else ""
        return KeptResult(**{**columns, "device": DeviceId(r.device)})

    def boot_log(self, sha256: bytes) -> bytes | None:
        """By its digest."""
        row = self._rows.one(_BOOT_LOG, {"of": sha256})
        return zlib.decompress(row.content) if row is not None else None

    def keep_boot_log(self, sha256: bytes, log: bytes) -> None:
        """Keep it, once."""
        if self._rows.one(_HAS_BOOT_LOG, {"of": sha256}) is None:
            self._rows.run(insert(_LOGS).values(sha256=sha256, content=zlib.compress(log)))

    def ima_list(self, device: str, reset_count: int, restart_count: int, entries: int) -> bytes:
        """See `ports.EvidenceKept.ima_list`."""
        s = _SEGMENTS.c
        query = select(_SEGMENTS).where(
            s.device == device, s.reset_count == reset_count, s.restart_count == restart_count
        )
        out, have = [], 0
        for segment in self._rows.all(query.order_by(s.start)):
            if segment.start != have or have >= entries:
                break
            out.append(zlib.decompress(segment.content))
            have += segment.entries
        return b"".join(out) if have >= entries else b""

    def keep_ima(
        self,
        device: str,
        reset_count: int,
        restart_count: int,
        start: int,
        entries: int,
        content: bytes,
    ) -> None:
        """See `ports.EvidenceKept.keep_ima`."""
        boot = {"of": device, "reset": reset_count}
        self._rows.run(_FROM_HERE_ON, {**boot, "restart": restart_count, "first": start})
        if start == 0:
            self._rows.run(_OF_LOST_BOOTS, boot)
        if entries:
            values = {
                "device": device,
                "reset_count": reset_count,
                "restart_count": restart_count,
                "start": start,
                "entries": entries,
                "content": zlib.compress(content),
            }
            self._rows.run(_ADD_SEGMENT, values)

    def has_allowlist(self, sha256: bytes) -> bool:
        """Whether it is kept."""
        return (
            self._rows.one(select(_ALLOWLISTS.c.sha256).where(_ALLOWLISTS.c.sha256 == sha256))
            is not None
        )

    def allowlist(self, sha256: bytes) -> Allowlist | None:
        """See `ports.EvidenceKept.allowlist`."""
        row = self._rows.one(select(_ALLOWLISTS.c.content).where(_ALLOWLISTS.c.sha256 == sha256))
        if row is None:
            return None
        allowlist = parse_allowlist(zlib.decompress(row.content))
        if allowlist.digest != sha256:
            hint = "the store was changed: restore it, or add the file again"
            raise Refused.of(
                Reason.ALLOWLIST, f"the allowlist {sha256.hex()}", allowlist.digest.hex(), hint
            )
        return allowlist

    def add_allowlist(self, content: bytes, now_ms: int) -> Allowlist:
        """See `ports.EvidenceKept.add_allowlist`."""
        parsed = parse_allowlist(content)
        if not self.has_allowlist(parsed.digest):
            values = {
                "sha256": parsed.digest,
                "content": zlib.compress(content),
                "files": parsed.size,
                "added_ms": now_ms,
            }
            self._rows.run(insert(_ALLOWLISTS).values(**values))
        return parsed

    def _evidence(self, r: Row[Any]) -> KeptEvidence:
        columns = dict(r._mapping)
        raw, log_at = zlib.decompress(columns.pop("proof")), columns.pop("log_at")
        if log_at >= 0:
            # where the log is gone this is no evidence: whoever reads it says so, of this row
            raw = raw[:log_at] + (self.boot_log(r.boot_log_sha256) or b"") + raw[log_at:]
        unpacked = {
            "device": DeviceId(r.device),
            "raw": raw,
            "pcrs": tuple(json.loads(r.pcrs)),
            "failures": read_failures(r.failures),
            "vector": read_mapping(r.vector),
        }
        return KeptEvidence(**{**columns, **unpacked})
