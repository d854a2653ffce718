"""N87, N88 and N90: what the controller keeps: key files, its registry, profiles."""

from __future__ import annotations

import stat
import tempfile
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec

from framegate.profile.model import PROFILE_TYPE
from framegate.signed.dsse import seal_envelope
from framegate_controller.ca.open import found_fleet
from framegate_controller.store.database import open_registry
from framegate_host.private_files import touch_private
from framegate_operator.connection import operator_stub
from framegate_proto.v1 import framegate_pb2 as pb
from framegate_simulators.attack.target import Seen, Target, attempt, reason_of
from framegate_simulators.machine.boot import Firmware, profile_toml


@attempt("N87", "keys that others can read, secrets in logs")
def n87(t: Target) -> Seen:
    loose = [
        p.name
        for p in t.plant.folder.rglob("*")
        if p.is_file()
        and (p.suffix == ".key" or p.name in {"registry.db", "operator.json"})
        and p.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO)
    ]
    logs = b"".join(p.read_bytes() for p in t.plant.logs.rglob("*") if p.is_file())
    leaks = [w for w in (b"PRIVATE KEY", b"secret=", b"ticket_code") if w in logs]
    return Seen(
        not loose and not leaks,
        f"readable by others: {loose or 'none'}; in logs: {leaks or 'nothing'}",
    )


@attempt("N88", "a registry of the first version, with rows in it")
def n88(t: Target) -> Seen:
    from alembic import command
    from alembic.config import Config
    from sqlalchemy import create_engine, text

    from framegate_controller import store

    path = Path(tempfile.mkdtemp(prefix="fg-")) / "registry.db"
    touch_private(path)
    config = Config()
    config.set_main_option("script_location", str(Path(store.__file__).parent / "migrations"))
    engine = create_engine(f"sqlite:///{path}")
    with engine.connect() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        key = t.keys.signing["profile"]
        envelope = seal_envelope(
            PROFILE_TYPE,
            profile_toml(Firmware("simulated-camera"), "simulated-camera").encode(),
            key.der,
            key.sign,
        )
        connection.execute(
            text(
                "INSERT INTO profiles (name, revision, envelope, added_ms) VALUES"
                " ('simulated-camera', 1, :e, 1)"
            ),
            {"e": envelope},
        )
        connection.commit()
    engine.dispose()
    database = open_registry(path)
    with database.reading() as tx:
        kept = [(r.name, r.revision) for r in tx.profiles.revisions()]
    database.close()
    return Seen(kept == [("simulated-camera", 1)], "opened, brought up to date, nothing lost")


@attempt(
    "N90",
    "profiles: unsigned, edited, rolled back, by another fleet's key, by a grant key, by a revoked"
    " signer",
)
def n90(t: Target) -> Seen:
    toml = profile_toml(Firmware("simulated-camera"), "simulated-camera", 9).encode()
    keys, other = t.keys, found_fleet(Path(tempfile.mkdtemp(prefix="fg-")) / "keys", "plant")

    def sealed(key: Any, body: bytes = toml) -> bytes:
        return seal_envelope(PROFILE_TYPE, body, key.der, key.sign)

    from framegate_controller.ca.issue import issue_profile_signer

    private = ec.generate_private_key(ec.SECP256R1())
    certificate = issue_profile_signer(keys, "eve", private.public_key(), timedelta(days=1))
    from framegate_controller.ca.keys import SigningKey

    signer = SigningKey(private, certificate)
    good = sealed(keys.signing["profile"])
    candidates = [
        toml,
        b"",
        good.replace(b'"sig":"M', b'"sig":"N'),
        sealed(other.signing["profile"]),
        sealed(keys.signing["grant"]),
        sealed(
            keys.signing["profile"],
            profile_toml(Firmware("simulated-camera"), "simulated-camera", 1).encode(),
        ),
        sealed(signer),
    ]
    with operator_stub(t.context) as stub:
        stub.RevokeSigner(pb.RevokeSignerRequest(certificate=signer.der, reason="campaign"))
        seen = [
            reason_of(partial(stub.ImportProfile, pb.ImportProfileRequest(envelope=envelope)))
            for envelope in candidates
        ]
    return Seen(all(s.refused for s in seen), "; ".join(s.reason for s in seen))
