"""A boot log stands once, for all evidence that came with it; evidence comes back as it came."""

import sqlite3

import pytest

from framegate.identity.names import DeviceId
from framegate.registry.evidence import KeptEvidence
from framegate.wire import sha256
from framegate_controller.store.database import open_registry

pytestmark = pytest.mark.slow

LOG = bytes(range(256)) * 40


def evidence(name: str, raw: bytes) -> KeptEvidence:
    return KeptEvidence(
        id=name,
        device=DeviceId("camera.line-1.cam1"),
        content_sha256=sha256(raw),
        first_ms=1,
        last_ms=1,
        count=1,
        join=False,
        transcript=b"",
        ak_public=b"",
        tls_public=b"",
        bank=11,
        pcrs=(0,),
        boot_log_sha256=sha256(LOG),
        ima_entries=0,
        reset_count=0,
        restart_count=0,
        raw=raw,
        profile="",
        affirming=True,
        failures=(),
        vector={},
    )


@pytest.mark.parametrize(
    "raw",
    [b"head" + LOG + b"tail", LOG, b"without", b"", LOG[:-1], LOG + b"twice" + LOG],
    ids=["in it", "nothing else", "without", "empty", "all but a byte", "twice"],
)
def test_evidence_comes_back_byte_for_byte(tmp_path, raw):
    store = open_registry(tmp_path / "registry.db")
    with store.writing() as tx:
        tx.evidence.add(evidence("before", raw))  # the log is not kept yet
        tx.evidence.keep_boot_log(sha256(LOG), LOG)
        tx.evidence.add(evidence("after", raw))
    with store.reading() as tx:
        assert tx.evidence.get("before").raw == tx.evidence.get("after").raw == raw
    store.close()


def test_a_kept_log_is_not_kept_again_and_is_missed_where_it_is_gone(tmp_path):
    path = tmp_path / "registry.db"
    store = open_registry(path)
    with store.writing() as tx:
        tx.evidence.keep_boot_log(sha256(LOG), LOG)
        tx.evidence.add(evidence("one", b"head" + LOG))
    store.close()
    with sqlite3.connect(path) as database:
        ((size,),) = database.execute("SELECT length(proof) FROM evidence")
        assert size < 40
        database.execute("DELETE FROM boot_logs")
    database.close()
    store = open_registry(path)
    with store.reading() as tx:  # a row that whoever appraises it cannot read, and no other's end
        assert tx.evidence.get("one").raw == b"head"
    store.close()
