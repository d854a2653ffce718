"""The receipts of a gateway, and one that lies: what a receipt proves, and that nothing else
passes for one.
"""

import base64
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import framegate.receipt_verifier as verifier
from framegate.errors import FramegateError, Reason
from framegate.identity.certificates import from_ms
from framegate.receipt_verifier import ReceiptRefused, missing_frames, verify_receipt
from framegate.signed.receipt import Checkpoint, ReceiptBatch, b64
from framegate.signed.statement import verify_verdict
from framegate.wire import sha256
from framegate_agent.camera.heads import sign_owed
from framegate_gateway.inference.inspection import Inspection
from framegate_gateway.receipts import store as store_module
from framegate_gateway.receipts.batch_rows import stored_batches
from framegate_gateway.receipts.batches import sign_lapsed_again, sign_one
from framegate_gateway.receipts.read import find
from framegate_gateway.receipts.rows import stored_leaves
from framegate_gateway.receipts.store import ReceiptStore
from framegate_gateway.trust.keys import Credentials
from framegate_simulators.fixtures.frames import captured
from framegate_simulators.fixtures.gateway import CAMERA
from support.flipped import flipped
from support.receipts import proved


async def test_receipts_hold_and_resolve_to_what_stands_behind_them(receipts_desk):
    receipts = await proved(receipts_desk)
    assert len(receipts) == 5
    for receipt in receipts:
        one = receipts_desk.check(receipt)
        assert (
            one.claims["model_hash"] == receipts_desk.models.bundle.digest.hex()
            and one.claims["fg"]["device"] == CAMERA
            and one.head_count == 5
            and one.logged_at_ms
        )
        assert (
            one.claims["attestation_doc_hash"] == ""
            and one.claims["request_hash"]
            and one.verdict["outcome"] == "PASS"
        )
    assert missing_frames([receipts_desk.check(r) for r in receipts]) == {}


async def test_the_verifier_stands_alone(receipts_desk, tmp_path):
    """Copied away, without Framegate on the path, it needs nothing but `cryptography`."""
    receipts = await proved(receipts_desk)
    alone = tmp_path / "alone"
    alone.mkdir()
    (alone / "v.py").write_bytes(Path(verifier.__file__).read_bytes())
    (alone / "r.json").write_text("\n".join(json.dumps(r) for r in receipts))
    (alone / "root.pem").write_bytes(receipts_desk.fleet.root.pem)
    code = (
        "import sys; sys.modules['framegate'] = None; sys.path.insert(0, '.'); import v;"
        " sys.exit(v.main(['--root', 'root.pem', 'r.json']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=alone, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("holds: PASS") == 5
    (alone / "r.json").write_text(json.dumps({**receipts[0], "leaf": receipts[1]["leaf"]}))
    assert (
        subprocess.run(
            [sys.executable, "-c", code], cwd=alone, capture_output=True, check=False
        ).returncode
        == 6
    )
    imported = {
        line.split()[1].split(".")[0]
        for line in Path(verifier.__file__).read_text().splitlines()
        if line.startswith(("import ", "from "))
    }
    assert imported - set(sys.stdlib_module_names) == {"cryptography"}


async def test_the_verifiers_command_line(receipts_desk, tmp_path, capsys):
    receipts = await proved(receipts_desk)
    root, file = tmp_path / "root.pem", tmp_path / "r.json"
    root.write_bytes(receipts_desk.fleet.root.pem)
    file.write_text("\n".join([*map(json.dumps, receipts), ""]))
    assert verifier.main(["--root", str(root), str(file)]) == 0
    assert capsys.readouterr().out.count("holds: PASS") == 5
    file.write_text("\n".join([*map(json.dumps, receipts[:-2]), "{}", "no JSON"]))
    assert verifier.main(["--root", str(root), str(file)]) == 6
    said = capsys.readouterr().out
    assert said.count("REFUSED") == 2 and "no receipt for frames" in said
    assert verifier.main([str(file)]) == 2 and "usage" in capsys.readouterr().err


async def test_parts_of_other_receipts_prove_nothing(receipts_desk):
    one, two = (await proved(receipts_desk))[:2]
    assert receipts_desk.refused({**one, "verdict": two["verdict"]}) == "verdict"
    assert receipts_desk.refused({**one, "metadata": two["metadata"]}) == "frame"
    assert receipts_desk.refused({**one, "camera": two["camera"]}) == "camera-path"
    assert receipts_desk.refused({**one, "batch": two["batch"]}) == "batch-path"
    assert (
        receipts_desk.refused({**one, "log": None}) == "log-path"
        and receipts_desk.check({**one, "log": None}, need_log=False).notes
    )
    assert (
        receipts_desk.refused({**one, "camera": None}) == "camera-head"
        and receipts_desk.check({**one, "camera": None}, need_camera=False).notes
    )


@pytest.mark.parametrize(
    "junk",
    [
        {},
        {"format": "framegate-receipt-1"},
        {"format": 3},
        {"format": "framegate-receipt-1", "leaf": "!!", "verdict": ""},
    ],
)
async def test_what_is_no_receipt(receipts_desk, junk):
    assert receipts_desk.refused(junk) == "format"


async def test_another_fleets_root_and_its_log(receipts_desk, tmp_path):
    from framegate_controller.ca.open import found_fleet

    receipt = (await proved(receipts_desk))[0]
    other = found_fleet(tmp_path / "other", "plant")
    with pytest.raises(ReceiptRefused) as caught:
        verify_receipt(receipt, other.root.pem)
    assert caught.value.check == "batch-signer"
    signer = receipts_desk.fleet.signing["profile"]  # a key of the fleet, for something else
    payload = json.loads(
        base64.b64decode(json.loads(base64.b64decode(receipt["log"]["checkpoint"]))["payload"])
    )
    receipt["log"]["checkpoint"] = b64(Checkpoint(**payload).seal(signer.der, signer.sign))
    assert receipts_desk.refused(receipt) == "log-signer"


async def test_a_gateway_that_alters_a_frame(receipts_desk):
    sealed = replace(receipts_desk.admitted, image_sha256=os.urandom(32), counter=4)
    await receipts_desk.maker.inspected(sealed, Inspection((), "aa", 100), 1.0)
    receipts = await proved(receipts_desk)
    assert receipts_desk.refused(receipts[0]) == "camera-path" and receipts_desk.check(receipts[1])


async def test_a_gateway_that_invents_a_frame(receipts_desk):
    ghost = replace(receipts_desk.admitted.metadata, part="ghost", trigger_sequence=99)
    await receipts_desk.maker.inspected(
        replace(
            receipts_desk.admitted,
            metadata=ghost,
            metadata_bytes=ghost.marshal(),
            image_sha256=os.urandom(32),
            counter=77,
        ),
        Inspection((), "aa", 100),
        1.0,
    )
    receipts = await proved(receipts_desk)
    assert receipts_desk.refused(receipts[0]) == "camera-head"


async def test_a_gateway_that_drops_a_frame_it_answered(receipts_desk):
    checked = [receipts_desk.check(r) for r in await proved(receipts_desk)]
    session = checked[0].session.hex()
    assert missing_frames([r for r in checked if r.counter != 3]) == {session: (3,)}


async def test_a_frame_that_the_link_lost_is_not_the_gateways_fault(receipts_desk):
    head = captured(50, 4, part="lost", captured_at_ms=1, uncertainty_ms=1)
    receipts_desk.session.seal(head, b"lost")
    checked = [receipts_desk.check(r) for r in await proved(receipts_desk)]
    assert (
        checked[0].head_count == 6
        and checked[0].unanswered == (5,)
        and missing_frames(checked) == {}
    )


async def test_heads_that_a_gateway_refuses(receipts_desk):
    signed = sign_owed(receipts_desk.session.owed, receipts_desk.camera, 5)
    for head, signature, leaves in (
        (flipped(signed.head), signed.signature, signed.leaves),
        (signed.head, flipped(signed.signature), signed.leaves),
        (signed.head, signed.signature, signed.leaves[:-32]),
        (signed.head, signed.signature, bytes(len(signed.leaves))),
        (b"", b"", b""),
    ):
        with pytest.raises(FramegateError):
            receipts_desk.link.head(head, signature, leaves)
    assert receipts_desk.link.head(signed.head, signed.signature, signed.leaves)


async def test_a_disk_that_fails_lets_nothing_pass(receipts_desk):
    receipts_desk.store._connection.execute("DROP TABLE coming")
    with pytest.raises(FramegateError) as caught:
        await receipts_desk.frame(20)
    assert caught.value.reason == Reason.RECEIPT
    envelope = await receipts_desk.maker.uninspected(
        receipts_desk.admitted.metadata, Reason.RECEIPT
    )
    now = __import__("datetime").datetime.now(__import__("datetime").UTC)
    assert (
        verify_verdict(
            envelope, receipts_desk.fleet.intermediates, receipts_desk.fleet.root.certificate, now
        ).outcome
        == "UNINSPECTED"
    )


async def test_one_process_holds_a_store(receipts_desk):
    with pytest.raises(FramegateError) as caught:
        ReceiptStore(receipts_desk.folder / "state")
    assert caught.value.reason == Reason.RECEIPT


@pytest.mark.parametrize(
    "identifier", ["", "zz", "ambiguous", "'; DROP TABLE leaves; --", "f" * 32]
)
async def test_receipts_that_are_not_there(receipts_desk, identifier):
    for number in range(
        17
    ):  # one more than there are digits: two ids begin alike, whatever chance does
        await receipts_desk.frame(100 + number)
    if identifier == "ambiguous":
        receipts_desk.store.settle()
        with receipts_desk.store.reading() as connection:
            firsts = [row.id[0] for row in stored_leaves(connection, "", ())]
        identifier = max(firsts, key=firsts.count)
    with pytest.raises(FramegateError) as caught:
        find(receipts_desk.store, identifier)
    assert caught.value.reason == Reason.NOT_FOUND


async def test_n106_a_store_goes_on_by_itself_once_its_disk_does(receipts_desk, monkeypatch):
    """No number is given twice, none is missing, and nothing that waited is written late."""
    monkeypatch.setattr(store_module, "AGAIN_S", 3_600.0)  # the moment is over when this says so
    store = receipts_desk.store
    store._connection.execute("ALTER TABLE coming RENAME TO away")
    for number in (20, 21):
        with pytest.raises(FramegateError):
            await receipts_desk.frame(number)
    store._connection.execute("ALTER TABLE away RENAME TO coming")
    with pytest.raises(FramegateError):  # it waits a moment before it tries again
        await receipts_desk.frame(22)
    store._failed_s = float("-inf")
    await receipts_desk.frame(23)
    assert not store.failed
    receipts_desk.sign()
    with store.reading() as connection:
        numbers = [one.number for one in stored_leaves(connection, "ORDER BY leaves.number", ())]
        batches = list(stored_batches(connection, "ORDER BY batches.number"))
    assert numbers == [1, 2, 3, 4, 5, 6]
    assert [(b.first, b.count) for b in batches] == [(1, 3), (4, 3)]


async def test_n106_a_session_that_began_while_the_disk_was_full_is_there_later(receipts_desk):
    store = receipts_desk.store
    store._connection.execute("ALTER TABLE sessions RENAME TO away")
    store.opened(b"n" * 16, CAMERA, b"certificate", 1)
    with pytest.raises(FramegateError):
        await receipts_desk.frame(20)
    store._connection.execute("ALTER TABLE away RENAME TO sessions")
    store._failed_s = float("-inf")
    await receipts_desk.frame(21)
    with store.reading() as connection:
        (count,) = connection.execute(
            "SELECT count(*) FROM sessions WHERE session = ?", (b"n" * 16,)
        ).fetchone()
    assert count == 1


async def test_n106_nothing_is_signed_under_a_certificate_that_has_lapsed(receipts_desk):
    later = receipts_desk.view.now_ms() + 3_600_000
    assert not sign_one(receipts_desk.store, receipts_desk.keys, lambda: later)
    assert sign_one(receipts_desk.store, receipts_desk.keys, receipts_desk.view.now_ms)


async def test_n106_a_batch_that_was_signed_under_one_is_signed_anew_and_goes(
    receipts_desk, monkeypatch
):
    """An earlier version signed such batches; the controller refused them and all after them."""
    desk, now = receipts_desk, receipts_desk.view.now_ms
    with monkeypatch.context() as patched:
        patched.setattr(Credentials, "signs", lambda *_: True)
        assert sign_one(desk.store, desk.keys, lambda: now() + 3_600_000)
    await desk.frame(20)
    desk.sign()
    assert sign_lapsed_again(desk.store, desk.keys, now) == 2, "it, and what names it"
    assert sign_lapsed_again(desk.store, desk.keys, now) == 0
    previous = ""
    for row in desk.store.unlogged():
        batch, _ = ReceiptBatch.verify(
            row.envelope, desk.fleet.intermediates, desk.fleet.root.certificate, from_ms(now())
        )
        assert abs(batch.closed_at_ms - now()) < 60_000 and batch.previous == previous
        previous = sha256(row.payload).hex()
    await desk.head()
    desk.log()
    assert len([desk.check(receipt) for receipt in desk.receipts()]) == 6


@pytest.mark.parametrize(
    ("begins_ms", "headed", "named"),
    [
        (900, False, b"later"),  # backdated, as certificates are: it counts for every frame
        (1000, False, b"later"),
        (1001, False, b"first"),  # it would not count for the session's first frame
        (900, True, b"first"),  # the camera has signed: no frame comes any more
    ],
)
async def test_receipts_name_a_certificate_that_lives_at_the_last_frame(
    receipts_desk, begins_ms, headed, named
):
    """Certificates live for minutes and are renewed in-band: the one that a session began under may
    end before its last frame, whose receipt then proved nothing of the camera.
    """
    store, session = receipts_desk.store, b"n" * 16
    store.opened(session, CAMERA, b"first", 1000)
    if headed:
        await store.take_head(session, CAMERA, b"head", b"signature", b"t" * 32)
    store.recertified(session, b"later", begins_ms)
    store.recertified(b"o" * 16, b"another", 0)
    await receipts_desk.frame(20)
    with store.reading() as connection:
        rows = connection.execute("SELECT certificate FROM sessions WHERE session = ?", (session,))
        assert rows.fetchall() == [(named,)]
