"""N72, N73, N88: evidence of another machine, of another time; a registry of another version."""

from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from framegate.errors import Reason, Refused
from framegate.profile.model import PROFILE_TYPE
from framegate_controller.fleet.profiles import load_profile, load_revision
from framegate_controller.store.database import Database
from framegate_simulators.machine.boot import Firmware, profile_toml
from framegate_simulators.machine.ima import allowlist_of

CAM1, CAM2 = "camera.line-1.cam1", "camera.line-1.cam2"


def attest_as(bench, forge, device: str):
    """`forge` answers a challenge that `device` asked for."""
    hello = forge.attest_hello()
    made = bench.verifier.begin_attest(hello, device)
    _, proof = forge.answer(bench.fleet.digest, hello, made.challenge, join=False)
    return bench.verifier.complete_attest(made.state, proof, device)


def test_n72_a_genuine_machines_evidence_relayed_by_another_host(bench):
    """A tampered host asks for a challenge and has a sound machine answer it: the quote is not by its own AK."""
    sound, _ = bench.enrol("cam1"), bench.enrol("cam2")
    answer = attest_as(bench, sound, CAM2)
    assert answer.certificate is None and [f.reason for f in answer.failures] == [Reason.SIGNATURE]
    assert bench.state(CAM1) == bench.state(CAM2) == "trusted", "what nobody's TPM vouched for lowers nobody"


def test_n72_a_relayed_quote_does_not_certify_the_relays_key(bench):
    """The quote names the TLS key it is for: a relay that puts its own key into the proof breaks it."""
    sound, relay = bench.forge(), bench.forge()
    code = bench.invite(ek=sound.ek_sha256)
    hello = sound.hello(code)
    made = bench.verifier.begin_join(hello, "p")
    sound.with_proof(csr=sound.csr(relay.tls))
    mac, proof = sound.answer(bench.fleet.digest, hello, made.challenge)
    answer = bench.verifier.complete_join(made.state, mac, proof)
    assert answer.certificate is None and [f.reason for f in answer.failures] == [Reason.CSR_KEY]


def test_n73_evidence_of_another_time(bench):
    forge = bench.enrol()
    kept: dict[str, bytes] = {}

    def keep(p):
        kept.update(p)
        return p

    forge.change_proof = keep
    assert bench.attest(forge).state == "trusted"
    forge.with_proof(quote_attest=kept["quote_attest"], quote_signature=kept["quote_signature"])
    answer = bench.attest(forge)
    assert answer.certificate is None and [f.reason for f in answer.failures] == [Reason.EXTRA_DATA]


def test_n73_a_challenge_answered_too_late_or_twice(bench):
    forge = bench.enrol()
    hello = forge.attest_hello()
    made = bench.verifier.begin_attest(hello, CAM1)
    _, proof = forge.answer(bench.fleet.digest, hello, made.challenge, join=False)
    bench.clock.pass_s(61)
    for _ in range(2):
        with pytest.raises(Refused) as caught:
            bench.verifier.complete_attest(made.state, proof, CAM1)
        assert caught.value.reason == Reason.SESSION_EXPIRED
    hello = forge.attest_hello()
    made = bench.verifier.begin_attest(hello, CAM1)
    _, proof = forge.answer(bench.fleet.digest, hello, made.challenge, join=False)
    assert bench.verifier.complete_attest(made.state, proof, CAM1).state == "trusted"
    with pytest.raises(Refused) as caught:
        bench.verifier.complete_attest(made.state, proof, CAM1)
    assert caught.value.reason == Reason.SESSION_UNKNOWN


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
    envelope = seal_envelope(PROFILE_TYPE, profile_toml(Firmware("simulated-camera"), "simulated-camera").encode(), key.der, key.sign)
    with engine.connect() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, version)
        connection.execute(text("INSERT INTO profiles (name, revision, envelope, added_ms) VALUES ('simulated-camera', 1, :e, 1)"), {"e": envelope})
        connection.execute(text("INSERT INTO tickets (code_sha256, device, expires_ms, used_ms, reserved_until_ms) VALUES (x'01', 'camera.line-1.cam1', 9, 0, 0)"))
        connection.commit()
    engine.dispose()
    database = Database(path)
    with database.writing() as tx:
        tx.evidence.add_allowlist(allowlist_of("simulated-camera", Firmware("x").release), 1)
        assert load_profile(tx, keys, "simulated-camera").profile.revision == load_revision(tx, keys, "simulated-camera", 1).profile.revision == 1
        ticket = tx.tickets.get(b"\x01")
        assert ticket is not None and (ticket.device, ticket.replaces) == ("camera.line-1.cam1", False)
    database.close()
