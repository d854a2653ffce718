"""`framegate receipt verify` and `show` of gaps."""

import json

from typer.testing import CliRunner

from framegate.signed.receipt import TriggerGap
from framegate_operator import receipts
from framegate_simulators.fixtures.gateway import CAMERA
from support.receipts import proved

RUNNER = CliRunner()


async def exported(desk, folder):
    """A file with every receipt of the desk, three skipped triggers among them, and the root."""
    await desk.maker.gap(TriggerGap(CAMERA, "source-1", 7, 9, 3, ""))
    root, file = folder / "root.pem", folder / "r.jsonl"
    lines = [json.dumps(r) for r in await proved(desk)]
    root.write_bytes(desk.fleet.root.pem)
    file.write_text("\n".join(lines))
    return file, root, lines


async def test_n133_whole_counts_skipped_triggers_and_calls_no_frame_missing(
    receipts_desk, tmp_path
):
    file, root, _ = await exported(receipts_desk, tmp_path)
    told = RUNNER.invoke(
        receipts.app, ["verify", str(file), "--root", str(root), "--whole", "-o", "json"]
    )
    assert told.exit_code == 0, told.output
    body = json.loads(told.stdout)
    assert (body["good"], body["refused"], body["missing_frames"]) == (6, [], {})
    assert body["skipped_triggers"] == [
        {"device": CAMERA, "source": "source-1", "first": 7, "last": 9, "count": 3}
    ]
    table = RUNNER.invoke(receipts.app, ["verify", str(file), "--root", str(root), "--whole"])
    assert table.exit_code == 0 and "SKIPPED" in table.output and "3 triggers" in table.output


async def test_n133_whole_names_a_dropped_frame_beside_a_gap_over_it(receipts_desk, tmp_path):
    file, root, lines = await exported(receipts_desk, tmp_path)
    kept = [line for line in lines if json.loads(line)["verdict"] == "" or lines.index(line) != 3]
    file.write_text("\n".join(kept))
    told = RUNNER.invoke(
        receipts.app, ["verify", str(file), "--root", str(root), "--whole", "-o", "json"]
    )
    assert told.exit_code == 6 and len(json.loads(told.stdout)["missing_frames"]) == 1


async def test_n133_a_gap_is_shown_as_what_it_is(receipts_desk, tmp_path):
    await exported(receipts_desk, tmp_path)
    (gap,) = [r for r in map(receipts_desk.check, receipts_desk.receipts()) if r.is_gap]
    facts = dict(receipts._facts(gap, None))
    assert facts["gap"] == "UNINSPECTED frame-gap"
    assert facts["triggers"] == "3 of 7 to 9: no frame came"
