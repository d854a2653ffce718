"""The controller's word on a zone's stage, sound and forged."""

from dataclasses import replace

from framegate.pilot.policy import Stage
from framegate.pilot.word import StageWord
from framegate_line.stage_view import StageView, stage_file

ZONE = "line-1"


def stage_word(bench, stage=Stage.OBSERVE, by=None, **changes):
    """A word as of the bench's clock, signed by the fleet's key for such permissions, or `by`."""
    signer = by or bench.fleet.signing["grant"]
    word = StageWord(
        zone=ZONE,
        stage=str(stage),
        version=7,
        policy="access-policy 7 0123456789abcdef",
        issued_at_ms=bench.now,
        valid_until_ms=bench.now + 600_000,
    )
    return replace(word, **changes).seal(signer.der, signer.sign)


def staged(bench):
    """A view of the bench's zone, which its adapter goes by."""
    view = StageView(
        stage_file(bench.folder / "ledger.db"),
        ZONE,
        bench.adapter._credentials,
        lambda: bench.now,
    )
    bench.adapter.stage = lambda: view.stage
    return view
