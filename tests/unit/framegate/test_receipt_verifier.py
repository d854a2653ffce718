"""Whatever is given as a receipt."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framegate.receipt_verifier import (
    MAX_PATH,
    ReceiptRefused,
    VerifiedReceipt,
    is_range,
    main,
    missing_frames,
    root_from_path,
    verify_receipt,
)
from support.receipts import proved

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(_JSON)
def test_receipts_that_are_anything(value):
    with pytest.raises(ReceiptRefused):
        verify_receipt(value, b"not read")
    if isinstance(value, dict):
        for name in ("leaf", "verdict", "batch", "authorities", "camera", "log"):
            with pytest.raises(ReceiptRefused):
                verify_receipt({"format": "framegate-receipt-1", name: value}, b"")


def test_places_and_paths_that_do_not_fit():
    leaf = bytes(32)
    for index, size, path in (
        (5, 3, []),
        (-1, 3, []),
        (0, 1, [leaf]),
        (0, 2, []),
        (0, 2, [b"short"]),
        (0, 2, [leaf] * (MAX_PATH + 1)),
    ):
        with pytest.raises(ValueError, match=r"path|leaf"):
            root_from_path(leaf, index, size, path)


async def test_a_proof_that_is_not_there_so_far_is_no_refusal(receipts_desk, tmp_path, capsys):
    receipts = await proved(receipts_desk)
    root, file = tmp_path / "root.pem", tmp_path / "r.json"
    root.write_bytes(receipts_desk.fleet.root.pem)
    later = [{**receipts[0], "log": None}, {**receipts[1], "camera": None}]
    rest = [json.dumps(r) for r in receipts[2:]]
    file.write_text("\n".join([*map(json.dumps, later), "", *rest]))
    assert main(["--root", str(root), str(file)]) == 7
    said = capsys.readouterr().out
    assert said.count("PENDING") == 2 and said.count(" holds: ") == 3 and "REFUSED" not in said
    file.write_text(json.dumps(later[0]) + "\n{}\n\x1b[2J")
    assert main(["--root", str(root), str(file)]) == 6, "what is wrong outweighs what is missing"
    assert "\x1b" not in capsys.readouterr().out


@pytest.mark.parametrize(
    "argv", [[], ["--root"], ["--root", "r.pem"], ["r.pem", "--root", "r.json"]]
)
def test_wrong_usage_reads_nothing(argv, capsys):
    assert main(argv) == 2
    assert "usage" in capsys.readouterr().err


@pytest.mark.parametrize("body", [None, 7, [], {}, "framegate"])
def test_what_is_no_range_is_no_range(body):
    assert not is_range(body)


def receipt(counter, head_count=0, unanswered=(), kind="verdict"):
    return VerifiedReceipt(
        claims={"kind": kind},
        verdict={},
        batch={},
        logged_at_ms=0,
        session=b"s",
        counter=counter,
        head_count=head_count,
        unanswered=unanswered,
    )


def test_a_frame_that_got_an_answer_and_has_no_receipt_is_missing():
    here = [receipt(0, 5), receipt(1, 5), receipt(4, 5, (3,)), receipt(2, 9, kind="gap")]
    assert missing_frames(here) == {b"s".hex(): (2, 3)}, "3 was answered by the time of a head"
    assert missing_frames([receipt(0, 3, (2,)), receipt(1)]) == {}
    assert missing_frames([receipt(1), receipt(7)]) == {} == missing_frames([])


@pytest.mark.parametrize("newest_first", [True, False])
def test_an_older_head_on_some_receipt_hides_no_frame(newest_first):
    here = [receipt(0, 1), receipt(1, 2), receipt(4, 6)]
    gone = missing_frames(here[::-1] if newest_first else here)
    assert gone == {b"s".hex(): (2, 3, 5)}


@pytest.mark.parametrize(
    ("how", "gone"),
    [
        ({"before": False}, (3, 5)),
        ({"after": False}, (0, 1, 3)),
        ({"before": False, "after": False}, (3,)),
    ],
)
def test_of_a_time_only_what_lies_in_it_is_judged(how, gone):
    assert missing_frames([receipt(2, 6), receipt(4, 6)], **how) == {b"s".hex(): gone}
