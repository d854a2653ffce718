"""N85, N86, N88, N125: faults, floods, old registries, and checks on every attestation."""

import threading
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from framegate.errors import FramegateError, Reason, Refused
from framegate.profile.model import PROFILE_TYPE
from framegate.wire import Challenge
from framegate_controller.fleet.profiles import load_profile, load_revision
from framegate_controller.store.database import open_registry
from framegate_simulators.machine.boot import Firmware, profile_toml
from framegate_simulators.machine.ima import allowlist_of


async def test_n86_a_flood_of_sign_ins_waits_by_itself_and_delays_nothing_else():
    import asyncio

    from framegate_controller.rpc.sign_in_threads import SignInThreads
    from framegate_controller.rpc.signin import HERE

    threads, gate = SignInThreads(HERE), threading.Event()
    waiting = [asyncio.create_task(threads.run("a", gate.wait)) for _ in range(HERE.calls)]
    await asyncio.sleep(0)
    with pytest.raises(FramegateError) as caught:
        await threads.run("b", lambda: 1)
    assert caught.value.reason == Reason.TOO_MANY_TRIES
    assert (
        await asyncio.wait_for(asyncio.to_thread(lambda: 5), 5) == 5
    )  # everybody else's threads are free
    gate.set()
    assert all(await asyncio.gather(*waiting))
    assert await threads.run("b", lambda: 1) == 1


CAMERA = Firmware("simulated-camera")


def test_n125_every_attestation_appraises_the_stored_log_under_the_present_profile(bench):
    from framegate_controller.fleet.profiles import add_profile
    from framegate_simulators.machine.boot import profile_toml

    forge = bench.enrol()
    newer = profile_toml(replace(CAMERA, kernel="kernel 6.12.10"), "simulated-camera", 2)
    with bench.store.writing() as tx:
        add_profile(tx, bench.keys, newer.encode())
    assert bench.attest(forge, known_log=True).state == "suspect"


FAULTS = {
    "framegate_controller.fleet.judge.verify_evidence": "verify_evidence",
    "framegate_controller.fleet.judge.appraise": "appraise",
    "framegate_controller.fleet.firmware.FirmwareRules.for_device": "profiles",
    "framegate_controller.fleet.firmware.FirmwareRules.allowlists": "allowlists",
    "framegate_controller.fleet.weigh.issue_device": "issue_device",
    "framegate_controller.fleet.weigh.sign_ear": "sign_ear",
    "framegate_controller.fleet.attestation.take_over": "take_over",
    "framegate_controller.fleet.commit.store_evidence": "store_evidence",
    "framegate_controller.store.sql.enrolment.SqlSpentChallenges.spend": "spend",
    "framegate_controller.store.sql.devices.SqlDevices.put": "put",
    "framegate_controller.store.sql.evidence.SqlEvidence.add_result": "add_result",
    "framegate_controller.store.sql.transaction.SqlTransaction.raise_revision": "raise_revision",
    "framegate_controller.store.sql.transaction.SqlTransaction.record": "record",
}


@pytest.mark.parametrize("step", FAULTS, ids=FAULTS.values())
def test_n85_a_fault_at_any_step_never_raises_trust(bench, monkeypatch, step):
    """An exception rolls the transaction back: no certificate, no result, no new state; the old
    result runs out by itself.
    """
    forge = bench.forge()
    code = bench.invite(ek=forge.ek_sha256)
    hello = forge.hello(code)
    begun = bench.verifier.begin_join(hello, "p")
    mac, evidence = forge.answer(bench.fleet.digest, hello, begun.challenge)

    def fault(*_args, **_kwargs):
        raise OSError("disk full")

    monkeypatch.setattr(step, fault)
    with pytest.raises(OSError, match="disk full"):
        bench.verifier.complete_join(begun.state, mac, evidence)
    monkeypatch.undo()
    row = bench.device()
    assert (row.state, row.standing.result_id, row.certificate_expires_ms) == ("invited", "", 0)
    assert bench.join(forge, code).state == "trusted", "the fault is gone: the ticket is not lost"


def test_n86_flood_of_unauthenticated_sessions(bench):
    """Challenges are rationed by EK and network; they have no row, so that none that waits is in
    anybody's way.
    """
    from framegate_controller.store.shared.quotas import BEGINS

    forge = bench.enrol()
    waiting = bench.verifier.begin_join(forge.hello(), "honest")
    for _ in range(int(BEGINS.burst)):
        bench.verifier.begin_join(forge.hello(), "flooder")
    with pytest.raises(Refused) as caught:
        bench.verifier.begin_join(forge.hello(), "flooder")
    assert caught.value.reason == Reason.TOO_MANY_TRIES
    assert Challenge.parse(waiting.challenge)
    bench.clock.pass_s(61)
    bench.verifier.begin_join(forge.hello(), "flooder")


@pytest.mark.parametrize("version", ["0001", "0002"])
def test_n88_registries_of_earlier_versions_open_and_lose_nothing(tmp_path, keys, version):
    from alembic import command
    from alembic.config import Config

    from framegate.signed.dsse import seal_envelope
    from framegate_controller import store

    path = tmp_path / "registry.db"
    config = Config()
    config.set_main_option("script_location", str(Path(store.__file__).parent / "migrations"))
    engine = create_engine(f"sqlite:///{path}")
    key = keys.signing["profile"]
    envelope = seal_envelope(
        PROFILE_TYPE,
        profile_toml(Firmware("simulated-camera"), "simulated-camera").encode(),
        key.der,
        key.sign,
    )
    with engine.connect() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, version)
        connection.execute(
            text(
                "INSERT INTO profiles (name, revision, envelope, added_ms) VALUES"
                " ('simulated-camera', 1, :e, 1)"
            ),
            {"e": envelope},
        )
        connection.execute(
            text(
                "INSERT INTO tickets (code_sha256, device, expires_ms, used_ms, reserved_until_ms)"
                " VALUES (x'01', 'camera.line-1.cam1', 9, 0, 0)"
            )
        )
        connection.commit()
    engine.dispose()
    database = open_registry(path)
    with database.writing() as tx:
        tx.evidence.add_allowlist(allowlist_of("simulated-camera", Firmware("x").release), 1)
        assert (
            load_profile(tx, keys, "simulated-camera").profile.revision
            == load_revision(tx, keys, "simulated-camera", 1).profile.revision
            == 1
        )
        ticket = tx.tickets.get(b"\x01")
        assert ticket is not None and (ticket.device, ticket.replaces) == (
            "camera.line-1.cam1",
            False,
        )
    database.close()
