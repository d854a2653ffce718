"""N226 and N227: a controller of before beside one of now; rows of results that were changed."""

from __future__ import annotations

import base64
import json
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Final

from framegate.identity.names import DeviceId
from framegate.registry.evidence import KeptResult
from framegate_controller.store.database import Database, open_registry
from framegate_controller.store.ports import KnownController
from framegate_controller.store.ports.controllers import GONE_MS
from framegate_simulators.attack.target import Seen, Target, attempt

_PARTS: Final = (b'{"alg":"ES256"}', json.dumps({"sub": "camera.line-1.cam1"}).encode(), b"s" * 64)
_EAR: Final = ".".join(base64.urlsafe_b64encode(p).rstrip(b"=").decode() for p in _PARTS)


def _kept(identifier: str) -> KeptResult:
    return KeptResult(
        id=identifier,
        device=DeviceId("camera.line-1.cam1"),
        at_ms=1,
        evidence_sha256=bytes(32),
        quote=b"",
        signature=b"",
        ak_public=b"",
        profile="camera",
        profile_sha256=bytes(32),
        ear=_EAR,
    )


def _add(store: Database, identifier: str, *, age_ms: int) -> None:
    with store.writing() as tx:
        tx.controllers.put(KnownController("controller-2", (), tx.now_ms - age_ms, reads=0))
        tx.evidence.add_result(_kept(identifier))


@attempt(
    "N226", "rows that a controller of before does not read, while it is there", control="attest"
)
def n226(t: Target) -> Seen:
    _ = t
    with tempfile.TemporaryDirectory(prefix="fg-") as folder:
        path = Path(folder) / "registry.db"
        store = open_registry(path)
        _add(store, "a" * 32, age_ms=0)
        _add(store, "b" * 32, age_ms=GONE_MS)
        store.close()
        with closing(sqlite3.connect(path)) as rows:
            whole = [ear == _EAR for (ear,) in rows.execute("SELECT ear FROM results ORDER BY id")]
    return Seen(
        whole == [True, False],
        f"beside one of before {'whole' if whole[0] else 'packed'}, once it is gone "
        f"{'whole' if whole[1] else 'packed'}",
    )


_CHANGES: Final = (
    "UPDATE results SET device = 'camera.line-1.cam2'",
    "UPDATE results SET ear_packed = substr(ear_packed, 1, 66)",
    "UPDATE results SET ear_packed = zeroblob(300)",
    "DELETE FROM ear_headers",
)


@attempt("N227", "a result's row, changed in the database", control="attest")
def n227(t: Target) -> Seen:
    _ = t
    texts = []
    for change in ("", *_CHANGES):
        with tempfile.TemporaryDirectory(prefix="fg-") as folder:
            path = Path(folder) / "registry.db"
            store = open_registry(path)
            _add(store, "a" * 32, age_ms=GONE_MS)
            with closing(sqlite3.connect(path)) as rows:
                rows.execute(change)
                rows.commit()
            with store.reading() as tx:
                kept = tx.evidence.result("a" * 32)
            store.close()
            texts.append(kept.ear if kept is not None else "")
    return Seen(
        texts[0] == _EAR and _EAR not in texts[1:],
        f"of {len(_CHANGES)} changed rows {texts[1:].count(_EAR)} gave what was signed",
    )
