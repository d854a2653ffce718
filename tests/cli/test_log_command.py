"""framegate log verify and compare, and framegate witness, as typed without a fleet."""

import json

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from typer.testing import CliRunner

from framegate.transparency.head import TreeHead, sign_head
from framegate_controller.record.decisions import published_head
from framegate_operator import decision_log, witnesses
from framegate_operator.decision_files import ExportedLog, proof_of


@pytest.fixture
def files(decided, tmp_path):
    """An export and a proof of a log that two witnesses cosigned."""
    decided.promote(decided.approve())
    decided.cosign()
    with decided.bench.store.reading() as tx:
        note = published_head(tx, decided.bench.keys, 2).note
        entries = tuple(tx.decisions.entries(0, 100))
    export = ExportedLog(note, decided.bench.keys.signing["log"].der, entries)
    (tmp_path / "decisions").write_bytes(export.data)
    (tmp_path / "one.tlog-proof").write_bytes(proof_of(export, 3).data)
    root = decided.bench.keys.root.certificate.public_bytes(Encoding.PEM)
    (tmp_path / "root.pem").write_bytes(root)
    return tmp_path


def typed(app, *argv):
    return CliRunner().invoke(app, [str(a) for a in argv])


def cosigners(decided) -> list[str]:
    return [x for w in decided.witnesses for x in ("--cosigner", w.key.text)]


def test_an_export_is_verified_by_the_root_and_a_proof_by_the_logs_key(decided, files):
    by_root = ("--root", files / "root.pem", *cosigners(decided), "--require-cosigned", 2)
    by_key = ("--key", decided.key.text, *cosigners(decided), "--require-cosigned", 2)
    done = typed(decision_log.app, "verify", files / "decisions", *by_root, "-o", "json")
    assert done.exit_code == 0, done.stderr
    body = json.loads(done.stdout)
    assert [e["kind"] for e in body["entries"]] == ["policy", "profile", "profile", "model", "pin"]
    assert body["cosigned_by"] == ["witness.example/w1", "witness.example/w2"]
    done = typed(decision_log.app, "verify", files / "one.tlog-proof", *by_key)
    assert done.exit_code == 0 and "model seals 1" in done.stderr, done.stderr
    assert typed(decision_log.app, "verify", files / "one.tlog-proof", *by_root).exit_code == 2


def edited(files, old: bytes, new: bytes):
    data = (files / "decisions").read_bytes()
    assert old in data
    (files / "edited").write_bytes(data.replace(old, new, 1))
    return files / "edited"


def test_an_export_that_was_edited_or_cut_is_refused(decided, files):
    pinned = ("--key", decided.key.text, *cosigners(decided), "--require-cosigned", 2)
    lines = (files / "decisions").read_bytes().split(b"\n")
    (files / "cut").write_bytes(b"\n".join(lines[:-2] + [b""]))
    for file in (
        files / "cut",
        edited(files, b'"subject":"seals"', b'"subject":"seams"'),
        edited(files, b"framegate-decisions-1", b"framegate-decisions-9"),
        files / "root.pem",
    ):
        assert typed(decision_log.app, "verify", file, *pinned).exit_code not in {0, 2}, file


def test_fewer_or_older_cosignatures_than_are_asked_for_are_told(decided, files):
    key = ("--key", decided.key.text)
    stranger = "remora.n621.de+da77ade7+BOvN63jn/bLvkieywe8R6UYAtVtNbZpXh34x7onlmtw2"
    done = typed(decision_log.app, "verify", files / "decisions", *key, "--cosigner", stranger)
    assert done.exit_code == 4 and "none by remora.n621.de" in done.stderr
    missing = typed(
        decision_log.app,
        "verify",
        files / "decisions",
        *key,
        *cosigners(decided)[:2],
        "--require-cosigned",
        2,
    )
    assert missing.exit_code == 2
    assert (
        typed(decision_log.app, "verify", files / "decisions", *cosigners(decided)).exit_code == 2
    )


def test_two_histories_are_told_by_their_heads_with_exit_code_6(decided, files):
    size, keys = decided.size, decided.bench.keys
    other = sign_head(
        TreeHead(decided.key.name, size, bytes(32)), decided.key, keys.signing["log"].sign
    )
    (files / "other").write_bytes(other)
    key = ("--key", decided.key.text)
    same = typed(decision_log.app, "compare", files / "decisions", files / "one.tlog-proof", *key)
    assert same.exit_code == 0, same.stderr
    forked = typed(
        decision_log.app, "compare", files / "decisions", files / "other", *key, "-o", "json"
    )
    assert forked.exit_code == 6 and "log-forked" in forked.stderr
    assert json.loads(forked.stdout)["forked"][0]["decisions"] == size
    (files / "both").write_text(json.dumps({"seen": other.decode(), "shown": other.decode()}))
    assert typed(decision_log.app, "compare", files / "both", *key).exit_code == 0
    (files / "strange").write_bytes(other.replace(b"log.plant", b"log.plane"))
    assert typed(decision_log.app, "compare", files / "strange", *key).exit_code == 4


def test_a_witness_is_made_told_of_a_log_and_shown(decided, tmp_path):
    state = ("--state", tmp_path / "mine")
    made = typed(witnesses.app, "init", "--name", "witness.example/mine", *state)
    assert made.exit_code == 0 and made.stdout.startswith("witness.example/mine+")
    assert typed(witnesses.app, "init", "--name", "witness.example/mine", *state).exit_code == 5
    idle = typed(witnesses.app, "run", *state)
    assert idle.exit_code == 2 and "framegate witness watch" in idle.stderr
    assert typed(witnesses.app, "watch", decided.key.text, *state).exit_code == 0
    assert typed(witnesses.app, "watch", made.stdout.strip(), *state).exit_code == 2
    shown = json.loads(typed(witnesses.app, "show", *state, "-o", "json").stdout)
    assert shown["key"] == made.stdout.strip()
    assert [row["log"] for row in shown["logs"]] == ["log.plant.framegate/0"]
    assert "log.plant.framegate/0" in typed(witnesses.app, "show", *state).stdout
