"""Reports of gateways and lines are read by their kind: maps are drawn of them."""

import pytest

from framegate.errors import Malformed
from framegate.record.site_events import REPORT_KIND
from framegate.segment.ways import REPORTS
from framegate_controller.verbs.record import ReadLog
from framegate_proto.v1 import framegate_pb2 as pb


def test_reports_are_asked_for_by_their_kind():
    assert REPORTS == REPORT_KIND
    assert ReadLog.parse(pb.ReadLogRequest(event=REPORTS)).query.event == REPORT_KIND


@pytest.mark.parametrize("name", ["reports", "decision", "x" * 40])
def test_what_is_neither_is_refused(name):
    with pytest.raises(Malformed, match="an event's name"):
        ReadLog.parse(pb.ReadLogRequest(event=name))
