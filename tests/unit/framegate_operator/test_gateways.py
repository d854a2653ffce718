"""`framegate gateway status`: what is told before a camera's receipts go."""

import pytest

from framegate_operator import gateways
from framegate_proto.v1 import framegate_pb2 as pb


@pytest.mark.parametrize(("used", "told"), [(79, False), (80, True), (130, True)])
def test_n149_operators_are_told_before_receipts_go(used, told, capsys):
    kept = pb.ReceiptsKept(
        device="camera.line-1.cam1", bytes=used, quota=100, oldest_ms=1_790_000_000_000
    )
    gateways._warn(gateways._kept(kept))
    said = " ".join(capsys.readouterr().err.split())
    assert bool(said) == told
    if told:
        assert "the oldest go" in said and "receipt export --camera camera.line-1.cam1" in said
