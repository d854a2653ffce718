"""make bench, second part: what receipts, masks, sealing, the vault, the adapter and lineage cost.
Each figure stands beside its bare minimum.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding

from framegate.identity.pem import private_pem
from framegate.receipt_verifier import verify_receipt
from framegate.record.entry import entry_bytes
from framegate.record.merkle import data_tree
from framegate.signed.receipt import Checkpoint, ReceiptBatch, b64, log_body
from framegate.wire import sha256
from framegate_agent.camera.heads import sign_owed
from framegate_agent.camera.masking import blank
from framegate_controller.ca.issue import issue_line
from framegate_controller.ca.keys import FleetKeys
from framegate_controller.ca.open import found_fleet
from framegate_gateway.admission.link import CameraLink
from framegate_gateway.inference.bundle import DEFAULT_BUNDLE, load_bundle
from framegate_gateway.inference.inspection import Inspection
from framegate_gateway.inference.models import Models
from framegate_gateway.inference.parts import GoldenImages
from framegate_gateway.receipts.batch_rows import stored_batches
from framegate_gateway.receipts.batches import sign_one
from framegate_gateway.receipts.lineage import lineage
from framegate_gateway.receipts.read import Wanted, receipts
from framegate_gateway.receipts.rows import LeafRow
from framegate_gateway.receipts.store import ReceiptStore
from framegate_gateway.trust.keys import GatewayKeys
from framegate_gateway.vault.frames import FrameVault
from framegate_gateway.vault.keys import VaultKeys
from framegate_gateway.verdicts.journal import Journal
from framegate_gateway.verdicts.maker import VerdictMaker
from framegate_host.private_files import write_private
from framegate_line.adapter import Adapter
from framegate_line.credentials import load_credentials
from framegate_line.ledger import Ledger
from framegate_line.rules import Rules, Trigger
from framegate_simulators.fixtures.camera import SoftwareCamera
from framegate_simulators.fixtures.frames import captured, passed
from framegate_simulators.fixtures.gateway import CAMERA, warranted

FRAME_BYTES: Final = 160_000
FRAMES: Final = 600
MILLION: Final = 1_000_000


class _NoStore(ReceiptStore):
    """What the frame path would be without receipts: numbers, and nothing on disk."""

    async def append(self, row: LeafRow) -> None:
        """Nothing."""


def bench_line(say: Callable[[str], None]) -> dict[str, Any]:
    """All figures."""
    folder = Path(tempfile.mkdtemp(prefix="fg-bench-line-"))
    fleet = found_fleet(folder / "keys", "plant")
    camera = SoftwareCamera(folder, fleet)
    say("receipts on the frame path")
    result: dict[str, Any] = asyncio.run(_frame_path(folder, camera))
    say("receipt verify")
    result |= asyncio.run(_verify(folder, fleet, camera))
    say("masks, vault, adapter")
    result |= _masks() | _vault(folder) | asyncio.run(_adapter(folder, fleet, camera))
    say(f"lineage over {MILLION} receipts (a minute)")
    result |= _lineage(folder)
    return result


def _opened(camera: SoftwareCamera) -> tuple[CameraLink, Any, GatewayKeys, Any, Models]:
    models = Models(load_bundle(DEFAULT_BUNDLE), GoldenImages(()))
    keys, view = warranted(camera.fleet, camera.certificate, models.bundle.digest)
    link = CameraLink(camera.certificate, keys, view)
    session = camera.session(link.offer(), keys.newest.publics)
    signed = session.opening(camera)
    link.open(signed.opening, signed.signature)
    return link, session, keys, view, models


async def _frame_path(folder: Path, camera: SoftwareCamera) -> dict[str, Any]:
    """The loop's own time and the whole wait for one verdict, with receipts and without; sealing
    beside bare AES-GCM and SHA-256.
    """
    loop_ms: dict[str, float] = {}
    wall_ms: dict[str, float] = {}
    seal, bare = [], []
    image = bytearray(os.urandom(FRAME_BYTES))
    for name, kind in (("without", _NoStore), ("with", ReceiptStore)):
        link, session, keys, view, models = _opened(camera)
        store = kind(folder / f"path-{name}")
        maker = VerdictMaker(keys, view, models, Journal(), None, store)
        admitted = []
        for number in range(FRAMES):
            image[:4] = number.to_bytes(4, "big")
            frame_bytes = bytes(image)
            begun = time.perf_counter()
            frame = session.seal(captured(number, FRAME_BYTES), frame_bytes)
            seal.append(time.perf_counter() - begun)
            admitted.append(link.admit(link.open_frame(frame.metadata, frame.sealed)))
        took = []
        for one in admitted:
            begun = time.perf_counter()
            await maker.inspected(one, Inspection((), "aa", 100), 1.0)
            took.append(time.perf_counter() - begun)
        wall_ms[name] = 1e3 * float(np.median(took))
        cpu = []
        for number, one in enumerate(admitted):
            again = replace(one, counter=FRAMES + number)
            cpu_begun = time.thread_time()
            await maker.inspected(again, Inspection((), "aa", 100), 1.0)
            cpu.append(time.thread_time() - cpu_begun)
        loop_ms[name] = 1e3 * float(np.median(cpu))
        store.close()
    cipher = AESGCM(AESGCM.generate_key(256))
    for number in range(FRAMES):
        begun = time.perf_counter()
        cipher.encrypt(number.to_bytes(12, "big"), bytes(image), b"")
        sha256(bytes(image))
        bare.append(time.perf_counter() - begun)
    return {
        "receipt_frame_path_ms_p50": round(loop_ms["with"] - loop_ms["without"], 3),
        "receipt_durable_wait_ms_p50": round(wall_ms["with"] - wall_ms["without"], 3),
        "verdict_without_receipt_ms_p50": round(wall_ms["without"], 3),
        "seal_160k_ms_p50": round(1e3 * float(np.median(seal)), 3),
        "seal_160k_bare_ms_p50": round(1e3 * float(np.median(bare)), 3),
    }


async def _verify(folder: Path, fleet: FleetKeys, camera: SoftwareCamera) -> dict[str, Any]:
    """Receipts with all their proofs, verified one after the other by one core, nothing cached
    beforehand; hashing and JSON alone beside it.
    """
    link, session, keys, view, models = _opened(camera)
    store = ReceiptStore(folder / "verify")
    maker = VerdictMaker(keys, view, models, Journal(), None, store)
    store.opened(link.opened, CAMERA, link.session_certificate(), view.now_ms())
    for number in range(3000):
        frame = session.seal(captured(number, FRAME_BYTES), number.to_bytes(4, "big") * 8)
        await maker.inspected(
            link.admit(link.open_frame(frame.metadata, frame.sealed)),
            Inspection((), "aa", 100),
            1.0,
        )
        session.owed.answered(number)
        if number % 40 == 0:
            sign_one(store, keys, view.now_ms)
    sign_one(store, keys, view.now_ms)
    signed = sign_owed(session.owed, camera, view.now_ms())
    taken = link.head(signed.head, signed.signature, signed.leaves)
    await store.take_head(taken.session, CAMERA, taken.head, taken.signature, taken.tree)
    _log_all(store, fleet, view.now_ms())
    credentials = keys.credentials
    authorities = (
        [a.public_bytes(Encoding.DER) for a in credentials.authorities] if credentials else []
    )
    lines = [
        json.dumps(r).encode()
        for r in receipts(store, Wanted(camera=CAMERA, limit=3000), authorities)
    ]
    store.close()
    root = fleet.root.pem
    begun = time.perf_counter()
    for line in lines:
        verify_receipt(json.loads(line), root)
    took = time.perf_counter() - begun
    return {
        "receipt_verify_per_s": round(len(lines) / took),
        "receipts_verified": len(lines),
        "receipt_bytes": len(lines[0]),
    }


def _log_all(store: ReceiptStore, fleet: FleetKeys, now_ms: int) -> None:
    """What the controller does with batches, for as many as there are."""
    with store.reading() as connection:
        batches = list(stored_batches(connection, "ORDER BY batches.number"))
    entries = [
        entry_bytes(
            b.number, None, log_body(ReceiptBatch.parse_payload(b.payload), b.payload, now_ms)
        )
        for b in batches
    ]
    tree, signer = data_tree(entries), fleet.signing["log"]
    head = Checkpoint("plant", len(entries), tree.root.hex(), now_ms).seal(signer.der, signer.sign)
    for index, batch in enumerate(batches):
        proof = {
            "entry": b64(entries[index]),
            "index": index,
            "path": [b64(p) for p in tree.path(index)],
            "checkpoint": b64(head),
        }
        store.add_log(batch.number, proof)


def _masks() -> dict[str, Any]:
    frame = np.zeros((1080, 1920), np.uint8)
    polygon = ((0.1, 0.1), (0.4, 0.12), (0.45, 0.5), (0.3, 0.6), (0.08, 0.4))
    took = []
    for _ in range(500):
        begun = time.perf_counter()
        blank(frame, (polygon,))
        took.append(time.perf_counter() - begun)
    return {"mask_region_1080p_ms_p50": round(1e3 * float(np.median(took)), 3)}


def _vault(folder: Path) -> dict[str, Any]:
    """Frames encrypted and written, from the first queued to the last indexed; plain writing beside
    it.
    """
    vault = FrameVault(folder / "vault", VaultKeys(folder / "vault", os.urandom(32)))
    verdict = passed(time.time_ns() // 1_000_000)
    frames = [os.urandom(FRAME_BYTES) for _ in range(20)]
    digests = [sha256(f).hex() for f in frames]
    begun = time.perf_counter()
    for number in range(FRAMES):
        kept = replace(verdict, verdict_id=f"{number:032x}", input_sha256=digests[number % 20])
        dropped = vault.dropped
        while True:  # wait for room instead of dropping
            vault.keep(kept, frames[number % 20], 1, 0)
            if vault.dropped == dropped:
                break
            dropped = vault.dropped
            time.sleep(0.001)
    vault.expire(0)  # runs on the writer, after everything before it
    took = time.perf_counter() - begun
    stored = vault.get(f"{FRAMES - 1:032x}")
    vault.close()
    if stored.image != frames[(FRAMES - 1) % 20]:
        raise RuntimeError("the vault gave back another frame")
    begun = time.perf_counter()
    with (folder / "plain").open("wb") as out:
        for number in range(FRAMES):
            out.write(frames[number % 20])
    plain = time.perf_counter() - begun
    return {
        "vault_frames_per_s": round(FRAMES / took),
        "plain_write_frames_per_s": round(FRAMES / plain),
        "vault_frame_bytes": FRAME_BYTES,
    }


async def _adapter(folder: Path, fleet: FleetKeys, camera: SoftwareCamera) -> dict[str, Any]:
    """From a verdict's arrival to the decision on disk: verify, ledger, rule; a signature's
    verification and a durable commit are its minimum.
    """
    line = folder / "line"
    line.mkdir()
    key = ec.generate_private_key(ec.SECP256R1())
    write_private(line / "line.key", private_pem(key))
    (line / "line.pem").write_bytes(
        issue_line(fleet, "bench", key.public_key()).public_bytes(Encoding.PEM)
        + fleet.issuing["broker-ca"].pem
    )
    (line / "root.pem").write_bytes(fleet.root.pem)
    (line / "authorities.pem").write_bytes(b"".join(k.pem for k in fleet.issuing.values()))
    link, session, keys, view, models = _opened(camera)
    store = ReceiptStore(folder / "adapter")
    maker = VerdictMaker(keys, view, models, Journal(), None, store)
    ledger = Ledger(folder / "ledger.db", "bench")
    adapter = Adapter(
        Rules("bench", "line-1", (CAMERA,)), ledger, load_credentials(line, "bench"), ()
    )
    took = []
    for number in range(FRAMES):
        frame = session.seal(captured(number, FRAME_BYTES), number.to_bytes(4, "big") * 8)
        envelope = await maker.inspected(
            link.admit(link.open_frame(frame.metadata, frame.sealed)),
            Inspection((), "aa", 100),
            1.0,
        )
        adapter.trigger(Trigger(f"p{number}", "t", number))
        begun = time.perf_counter()
        adapter.verdict(envelope)
        took.append(time.perf_counter() - begun)
        await asyncio.sleep(0)
    store.close()
    outcomes = ledger.counts().outcomes
    ledger.close()
    if outcomes != {"PASS": FRAMES}:
        raise RuntimeError(f"the benchmark's parts must pass: {outcomes}")
    signature, message = key.sign(b"x", ec.ECDSA(hashes.SHA256())), b"x"
    begun = time.perf_counter()
    for _ in range(200):
        key.public_key().verify(signature, message, ec.ECDSA(hashes.SHA256()))
    return {
        "adapter_decision_ms_p50": round(1e3 * float(np.median(took)), 3),
        "adapter_decision_ms_p99": round(1e3 * float(np.percentile(took, 99)), 3),
        "bare_signature_check_ms": round(5 * (time.perf_counter() - begun), 3),
    }


def _identifier(number: int) -> str:
    """An id that is spread over the whole range, as random ones are."""
    return f"{(number * 2654435761) % 2**32:08x}{number:024x}"


def _lineage(folder: Path) -> dict[str, Any]:
    """Lineage of one verdict among a million: rows of real size, the same indices."""
    path = folder / "million" / "receipts.db"
    shutil.copytree(folder / "verify", folder / "million")
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("PRAGMA synchronous=OFF")
        leaf = connection.execute("SELECT kind, device, shared, body FROM leaves LIMIT 1")
        kind, device, shared, body = leaf.fetchone()
        batch = connection.execute(
            "SELECT shared, body, log_index, log_shared, log FROM batches LIMIT 1"
        ).fetchone()
        connection.execute("DELETE FROM leaves")
        connection.execute("DELETE FROM batches")
        for start in range(0, MILLION, 10_000):
            connection.executemany(
                "INSERT INTO leaves VALUES (?,?,?,?,?,?,?,?,?)",
                [
                    (n, bytes.fromhex(_identifier(n)), kind, device, shared, n, f"p{n}", n, body)
                    for n in range(start + 1, start + 10_001)
                ],
            )
        connection.executemany(
            "INSERT INTO batches VALUES (?,?,?,?,?,?,?,?)",
            [(n + 1, n * 1000 + 1, 1000, *batch) for n in range(MILLION // 1000)],
        )
    store, bundle = ReceiptStore(folder / "million"), load_bundle(DEFAULT_BUNDLE)
    took = []
    for n in range(1, MILLION, MILLION // 50):
        begun = time.perf_counter()
        lineage(store, bundle, _identifier(n)[:20])
        took.append(time.perf_counter() - begun)
    store.close()
    with suppress(OSError):
        path.unlink()
    return {
        "lineage_receipts": MILLION,
        "lineage_ms_p50": round(1e3 * float(np.median(took)), 2),
        "lineage_ms_max": round(1e3 * max(took), 2),
    }
