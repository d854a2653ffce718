"""`framegate receipt verify` and `show` of gaps."""

import base64
import json

import pytest
from typer.testing import CliRunner

from framegate.signed.receipt import TriggerGap
from framegate_gateway.receipts.read import Wanted
from framegate_gateway.receipts.read import receipts as read_receipts
from framegate_operator import receipt_export, receipts
from framegate_operator.receipt_files import ExportRange
from framegate_proto.v1 import framegate_pb2 as pb
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


async def test_pending_is_told_from_refused_and_alike_lines_together(receipts_desk, tmp_path):
    """The batch is signed and in no log so far: nothing is wrong, and nothing more is proved."""
    receipts_desk.sign()
    await receipts_desk.head()
    root, file = tmp_path / "root.pem", tmp_path / "r.jsonl"
    root.write_bytes(receipts_desk.fleet.root.pem)
    lines = [json.dumps(r) for r in receipts_desk.receipts()]
    file.write_text("\n".join(lines))
    asked = ["verify", str(file), "--root", str(root)]
    waits = RUNNER.invoke(receipts.app, asked)
    assert waits.exit_code == 7 and waits.output.count("PENDING") == 1, waits.output
    assert "REFUSED" not in waits.output and f"{len(lines)} are pending" in waits.output
    body = json.loads(RUNNER.invoke(receipts.app, [*asked, "-o", "json"]).stdout)
    assert [row["check"] for row in body["pending"]] == ["log-path"] * len(lines)
    altered = json.loads(lines[0])
    altered["camera"]["signature"] = altered["camera"]["signature"][::-1]
    file.write_text("\n".join([json.dumps(altered), *lines[1:], "{", "{", ""]))
    wrong = RUNNER.invoke(receipts.app, asked)
    assert wrong.exit_code == 6, "what is there and does not hold is refused, log or not"
    assert wrong.output.count("REFUSED") == 2 and "lines" in wrong.output


async def test_wholeness_is_asked_within_the_time_of_the_export_alone(receipts_desk, tmp_path):
    file, root, lines = await exported(receipts_desk, tmp_path)
    frames = [line for line in lines if json.loads(line)["verdict"]]
    counter = {
        line: json.loads(base64.b64decode(json.loads(line)["leaf"]))["fg"]["counter"]
        for line in frames
    }
    frames.sort(key=counter.__getitem__)
    asked = ["verify", str(file), "--root", str(root), "--whole", "-o", "json"]

    def whole(kept, **of):
        said = ExportRange(**{"camera": "", "since_ms": 5, "until_ms": 9, "at_ms": 10, **of})
        file.write_bytes("\n".join([*kept, said.line().decode()]).encode())
        told = RUNNER.invoke(receipts.app, asked)
        return told.exit_code, json.loads(told.stdout)

    code, body = whole(frames[1:-1])
    assert code == 0 and body["missing_frames"] == {} and list(body["outside"].values()) == [2]
    code, body = whole(frames[1:-1], since_ms=0)
    assert code == 6 and list(body["missing_frames"].values()) == [[0]]
    code, body = whole(frames[1:-1], until_ms=0)
    assert code == 6 and list(body["missing_frames"].values()) == [[counter[frames[-1]]]]
    code, body = whole([*frames[:1], *frames[2:]])
    assert code == 6 and list(body["missing_frames"].values()) == [[counter[frames[1]]]]
    code, body = whole(frames, silent=("gateway.line-1.gw2",))
    assert code == 0 and body["silent"] == ["gateway.line-1.gw2"]


@pytest.mark.parametrize(
    "damage", [{"since_ms": "x"}, {"silent": 3}, {"camera": None, "at_ms": []}]
)
async def test_a_range_of_another_form_is_refused(damage, receipts_desk, tmp_path):
    file, root, lines = await exported(receipts_desk, tmp_path)
    said = json.loads(ExportRange(camera="", since_ms=0, until_ms=0, at_ms=0).line()) | damage
    file.write_text("\n".join([*lines, json.dumps(said)]))
    told = RUNNER.invoke(receipts.app, ["verify", str(file), "--root", str(root), "-o", "json"])
    assert told.exit_code == 6 and len(json.loads(told.stdout)["refused"]) == 1


async def test_pages_are_all_of_a_time_and_each_once(receipts_desk, tmp_path, monkeypatch):
    await exported(receipts_desk, tmp_path)

    class Stub:
        asked = 0

        def Receipts(self, request, *, stream):
            Stub.asked += 1
            wanted = Wanted(
                camera=request.camera,
                since_ms=request.since_ms,
                limit=request.limit,
                until_ms=request.until_ms,
                below=request.below,
            )
            for body in read_receipts(receipts_desk.store, wanted, []):
                yield pb.ReceiptReply(receipt=json.dumps(body).encode())

    monkeypatch.setattr(receipt_export, "_PAGE", 2)

    def leaves(most=100, **request):
        pages = receipt_export._pages(Stub(), pb.ReceiptsRequest(**request), most)
        return [json.loads(base64.b64decode(r["leaf"])) for r in pages]

    every = leaves()
    assert len(every) == 6 and len({one["cti"] for one in every}) == 6 and Stub.asked == 4
    order = [(one["iat_ms"], one["sequence_number"]) for one in every]
    assert order == sorted(order, reverse=True)
    middle = sorted(order)[3][0]
    assert len(leaves(until_ms=middle)) == sum(at < middle for at, _ in order)
    assert len(leaves(since_ms=middle)) == sum(at >= middle for at, _ in order)
    assert len(leaves(camera=CAMERA)) == 6 and leaves(camera="camera.line-1.none") == []
    assert len(leaves(since_ms=2**64 - 1)) == 0 and len(leaves(until_ms=2**64 - 1)) == 6


async def test_one_verdict_is_shown_and_explained_out_of_its_verified_receipt(
    receipts_desk, tmp_path
):
    from framegate_operator.verdict_words import verdict_facts, why_so

    await exported(receipts_desk, tmp_path)
    checked = list(map(receipts_desk.check, receipts_desk.receipts()))
    for receipt in checked:
        facts, said = dict(verdict_facts(receipt)), " ".join(why_so(receipt))
        fg = receipt.claims["fg"]
        assert fg["outcome"] in facts["outcome"] and facts["camera"] == CAMERA.split(".")[-1]
        assert "framegate " in said and "." in said
        if fg["outcome"] == "UNINSPECTED":
            assert fg["reason"] in said and "camera why" in said
        else:
            assert receipt.claims["model_id"] in said
