"""Rows of the operator's port: certificate authorities."""

from __future__ import annotations

from typing import Any, Final

from framegate_controller.context import Fleet
from framegate_controller.rpc.table import Rpc
from framegate_controller.verbs.ca import Authorities, CaRow, ShowCa, parse_rotation
from framegate_proto.v1 import framegate_pb2 as pb


def _row(row: CaRow) -> pb.CaRow:
    begins, ends = row.certificate.not_valid_before_utc, row.certificate.not_valid_after_utc
    return pb.CaRow(
        label=row.label,
        state=row.state,
        subject=row.certificate.subject.rfc4514_string(),
        serial=f"{row.certificate.serial_number:x}",
        held_in=row.held_in,
        note=row.note,
        not_before_ms=int(begins.timestamp() * 1000),
        not_after_ms=int(ends.timestamp() * 1000),
    )


def _reply(authorities: Authorities, _fleet: Fleet) -> pb.CaReply:
    return pb.CaReply(
        plan=authorities.plan,
        rows=[_row(r) for r in authorities.rows],
        deployed=[
            pb.DeployedEnd(name=d.name, ends_ms=d.ends_ms, begins_ms=d.begins_ms)
            for d in authorities.deployed
        ],
        brokers=[
            pb.BrokerEnd(reporter=b.reporter, said=b.said, at_ms=b.at_ms)
            for b in authorities.brokers
        ],
        others=[
            pb.OtherEnd(name=o.name, begins_ms=o.begins_ms, ends_ms=o.ends_ms, next=o.do)
            for o in authorities.others
        ],
    )


ROWS: Final[tuple[Rpc[Any, Any, Any], ...]] = (
    Rpc("ShowCa", ShowCa.parse, _reply),
    Rpc("RotateCa", parse_rotation, _reply),
)
