"""N130, N131, N132, N138: what strangers, and one enrolled machine, may cost a controller."""

import os
import secrets

import pytest

from framegate.errors import EvidenceRejected, FramegateError, Malformed, Reason, Refused
from framegate.evidence.activation import EvidencePromise, activation_mac
from framegate.machines.lifecycle import Event as Edge
from framegate.record.machine_events import StrangersRefused
from framegate.record.people_events import SignInFailed
from framegate.wire import MAX_EVIDENCE_BYTES, MAX_HELLO_BYTES, Challenge, transcript
from framegate_controller.clockwork.housekeeping import (
    EvidenceCollector,
    say_what_strangers_failed,
)
from framegate_controller.fleet.attestation import Verifier, VerifierState
from framegate_controller.fleet.evidence import KEEP_MS, MOST_KEPT_BYTES
from framegate_controller.fleet.strangers import MAX_KINDS, RefusedKind, StrangersRecord
from framegate_controller.rpc.known import KnownAtPort
from framegate_controller.store.shared import quotas
from framegate_controller.store.shared.failures import (
    FOLD_MS,
    MAX_FOLDED,
    OTHERS,
    FailureKind,
    InMemoryFailures,
)
from framegate_controller.store.shared.quotas import (
    ATTESTATIONS,
    BEGINS,
    EVIDENCE_BYTES,
    InMemoryBeginQuota,
    InMemoryDeviceQuota,
    MachineRates,
)
from framegate_controller.store.shared.tries import InMemoryTicketTries
from framegate_controller.timing import Timing
from framegate_host.token_buckets import Rate
from framegate_simulators.fixtures.access import certificate_request
from support.refusals import refused_with

CAM1 = "camera.line-1.cam1"
SLASH64 = "ipv6:%5B2001:db8:0:1::{:x}%5D"


def refusals_of(count: int, work) -> list[Reason]:
    """Reasons for which `work(n)` was refused."""
    reasons = []
    for n in range(count):
        try:
            work(n)
        except FramegateError as error:
            reasons.append(error.reason)
    return reasons


def test_n131_a_public_ek_locks_nobody_out(bench):
    """A stranger knows the public half of an enrolled machine's EK, and has a whole /64."""
    victim, other = bench.enrol("cam1"), bench.forge()
    code = bench.invite("cam2", ek=other.ek_sha256, code=b"2" * 16)
    hello = victim.hello()
    refused = refusals_of(2_000, lambda n: bench.verifier.begin_join(hello, SLASH64.format(n)))
    assert set(refused) == {Reason.TOO_MANY_TRIES} and len(refused) == 2_000 - BEGINS.burst
    assert bench.join(other, code).state == "trusted"
    assert bench.join(victim).state == "trusted"
    # and with a ticket from the very network of the stranger
    third = bench.forge()
    code = bench.invite("cam3", ek=third.ek_sha256, code=b"3" * 16)
    assert bench.join(third, code, SLASH64.format(7)).state == "trusted"


def test_n131_networks_without_end_do_not_either(bench):
    victim = bench.enrol("cam1")
    hello = victim.hello()
    for n in range(500):
        bench.verifier.begin_join(hello, f"ipv4:10.{n // 250}.{n % 250}.1")
    assert bench.join(victim).state == "trusted"


def test_n138_tickets_are_guessed_by_network_and_not_by_address(bench):
    forge = bench.forge()
    reasons = refusals_of(
        300,
        lambda n: bench.verifier.begin_join(forge.hello(os.urandom(16)), SLASH64.format(n)),
    )
    assert reasons.count(Reason.TICKET_UNKNOWN) == 5
    assert set(reasons) == {Reason.TICKET_UNKNOWN, Reason.TOO_MANY_TRIES}
    tries = bench.verifier._state.tries
    assert not isinstance(tries, InMemoryTicketTries) or len(tries._seen) == 1


def test_n130_a_hello_is_small(bench):
    forge = bench.forge()
    assert len(forge.hello(b"c" * 16)) < MAX_HELLO_BYTES // 4
    forge.ek_certificates = (bytes(MAX_HELLO_BYTES),)
    with refused_with(Malformed, Reason.TOO_LARGE):
        bench.verifier.begin_join(forge.hello(b"c" * 16), "p")


def offered(bench, forge, **changes):
    """A challenge, its evidence, and what offering it came to with these changes."""
    hello = forge.hello()
    begun = bench.verifier.begin_join(hello, "p")
    mac, evidence = forge.answer(bench.fleet.digest, hello, begun.challenge)
    promise = EvidencePromise.of(evidence)._replace(**changes)
    return begun.state, mac, evidence, promise


def test_n130_evidence_is_granted_to_the_challenged_tpm_and_counts_once(bench):
    state, mac, evidence, promise = offered(bench, bench.enrol())
    bench.verifier.offer_join(state, mac, promise)
    assert bench.verifier.complete_join(state, mac, evidence).state == "trusted"
    with refused_with(Refused, Reason.SESSION_UNKNOWN):
        bench.verifier.offer_join(state, mac, promise)


@pytest.mark.parametrize(
    "changes",
    [
        {"size": 1},
        {"size": 0},
        {"size": MAX_EVIDENCE_BYTES},
        {"size": MAX_EVIDENCE_BYTES + 1},
        {"size": 2**32 - 1},
        {"sha256": bytes(32)},
        {"sha256": b""},
    ],
    ids=str,
)
def test_n130_no_other_size_or_digest_than_the_tpm_promised(bench, changes):
    state, mac, evidence, promise = offered(bench, bench.enrol(), **changes)
    with refused_with(EvidenceRejected, Reason.MAC):
        bench.verifier.offer_join(state, mac, promise)
    with refused_with(Refused, Reason.SESSION_UNKNOWN):  # N14: no second guess
        bench.verifier.complete_join(state, mac, evidence)
    assert bench.state() == "trusted"


@pytest.mark.parametrize("mac", [b"", bytes(31), bytes(32), bytes(33)], ids=len)
def test_n130_no_evidence_for_a_wrong_mac(bench, mac):
    state, _, _, promise = offered(bench, bench.enrol())
    with refused_with(EvidenceRejected, Reason.MAC):
        bench.verifier.offer_join(state, mac, promise)


def test_n130_no_evidence_for_a_challenge_that_is_over_made_up_or_of_another_port(bench):
    forge = bench.enrol()
    state, mac, _, promise = offered(bench, forge)
    begun = bench.verifier.begin_attest(forge.attest_hello(), CAM1)
    for sealed in (b"", os.urandom(400), bytes([state[0] ^ 1]) + state[1:], begun.state):
        with refused_with(Refused, Reason.SESSION_UNKNOWN):
            bench.verifier.offer_join(sealed, mac, promise)
    with refused_with(Refused, Reason.SESSION_UNKNOWN):
        bench.verifier.offer_attest(state, 100, CAM1)
    with refused_with(Refused, Reason.SESSION_UNKNOWN):
        bench.verifier.offer_attest(begun.state, 100, "camera.line-1.cam2")
    bench.verifier.offer_attest(begun.state, 100, CAM1)
    bench.clock.pass_s(61)
    with refused_with(Refused, Reason.SESSION_EXPIRED):
        bench.verifier.offer_join(state, mac, promise)


def test_n132_a_machine_has_a_share_of_its_verifier_on_both_ports(bench):
    loud, quiet = bench.enrol("cam1"), bench.enrol("cam2")
    refused = refusals_of(200, lambda _: bench.attest(loud))
    assert set(refused) == {Reason.TOO_MANY_TRIES}
    assert len(refused) == 200 - (ATTESTATIONS - 1), "its join was one"
    assert bench.state() == "trusted", "to be told to wait says nothing about a machine"
    hello = loud.hello()
    begun = bench.verifier.begin_join(hello, "p")
    mac, evidence = loud.answer(bench.fleet.digest, hello, begun.challenge)
    with refused_with(Refused, Reason.TOO_MANY_TRIES):
        bench.verifier.offer_join(begun.state, mac, EvidencePromise.of(evidence))
    with refused_with(Refused, Reason.TOO_MANY_TRIES):
        bench.verifier.complete_join(begun.state, mac, evidence)
    assert bench.attest(quiet, "camera.line-1.cam2").state == "trusted"
    bench.clock.pass_s(60)
    assert bench.attest(loud).state == "trusted"


def test_n132_evidence_that_is_offered_and_does_not_come_counts(bench):
    """Whoever offers the largest evidence and sends nothing holds room that others wait for."""
    forge = bench.enrol()
    offers = []

    def offer(_n: int) -> None:
        hello = forge.hello()
        begun = bench.verifier.begin_join(hello, "p")
        challenge = Challenge.parse(begun.challenge)
        secret = forge.activate(challenge.credential, challenge.encrypted_secret)
        t = transcript(bench.fleet.digest, hello, begun.challenge)
        promise = EvidencePromise(MAX_EVIDENCE_BYTES, bytes(32))
        bench.verifier.offer_join(begun.state, activation_mac(secret, t, promise), promise)
        offers.append(begun.state)

    assert refusals_of(10, offer) == [Reason.TOO_MANY_TRIES] * 7 and len(offers) == 3


def test_n132_evidence_counts_once_whether_or_not_it_was_offered(bench):
    state, mac, evidence, promise = offered(bench, bench.enrol())
    calls = bench.verifier._devices._calls
    before = calls._tokens(CAM1, bench.clock())
    bench.verifier.offer_join(state, mac, promise)
    with refused_with(Refused, Reason.SESSION_UNKNOWN):
        bench.verifier.offer_join(state, mac, promise)
    bench.verifier.complete_join(state, mac, evidence)
    assert calls._tokens(CAM1, bench.clock()) == before - 1


def test_n132_a_machine_has_a_share_of_bytes():
    quota = InMemoryDeviceQuota(MachineRates.of(Timing(1_000)))
    taken = 0
    with refused_with(Refused, Reason.TOO_MANY_TRIES):
        while True:
            quota.take("loud", MAX_EVIDENCE_BYTES, 0)
            taken += MAX_EVIDENCE_BYTES
    assert taken <= EVIDENCE_BYTES.burst
    with refused_with(Refused, Reason.TOO_MANY_TRIES):
        quota.look("loud", MAX_EVIDENCE_BYTES, 10_000)
    quota.take("loud", 100_000, 0)
    quota.take("quiet", MAX_EVIDENCE_BYTES, 0)
    quota.take("loud", MAX_EVIDENCE_BYTES, 600_000)


def test_n132_the_share_follows_the_interval_and_can_be_said():
    for quota, wait_ms in (
        (InMemoryDeviceQuota(MachineRates.of(Timing(60_000))), 5_000),
        (InMemoryDeviceQuota(MachineRates.of(Timing(1_000))), 250),
        (InMemoryDeviceQuota(MachineRates.of(Timing(60_000), 6_000)), 10),
    ):
        while True:
            try:
                quota.take("d", 1, 0)
            except Refused:
                break
        with refused_with(Refused, Reason.TOO_MANY_TRIES):
            quota.look("d", 1, wait_ms - 1)
        quota.look("d", 1, wait_ms)


def kept_bytes(bench) -> int:
    """What evidence of all machines takes in the store."""
    queries = (
        "SELECT coalesce(sum(length(proof)), 0) FROM evidence",
        "SELECT coalesce(sum(length(content)), 0) FROM boot_logs",
        "SELECT coalesce(sum(length(content)), 0) FROM ima_segments",
    )
    return sum(int(str(bench.sql(q)[0][0])) for q in queries)


def test_n132_one_machine_does_not_fill_the_store(bench, monkeypatch):
    """A suspect machine, that has nothing to lose, says something else each time; its share of the
    verifier is lifted here, so that only the store's is in its way.
    """
    monkeypatch.setattr(quotas, "EVIDENCE_BYTES", Rate(1e12, 1))
    unlimited = InMemoryDeviceQuota(MachineRates.of(Timing(), 1e9))
    bench.verifier = Verifier(bench.store, bench.fleet, state=VerifierState(devices=unlimited))
    bench.enrol("cam2")
    other = bench.sql("SELECT count(*) FROM evidence WHERE device = 'camera.line-1.cam2'")
    forge = bench.enrol()
    for _ in range(130):
        forge.posture = secrets.token_bytes(250_000)  # no JSON at all; it cannot be compressed
        bench.attest(forge)
        bench.clock.pass_s(1)
    assert kept_bytes(bench) < MOST_KEPT_BYTES + 2 * 1024 * 1024
    assert bench.sql("SELECT count(*) FROM evidence WHERE device = 'camera.line-1.cam2'") == other
    with bench.store.reading() as tx:
        last = tx.evidence.last(CAM1)
        assert last is not None and forge.posture in last.raw, "the last one is always kept"


def test_n132_a_machine_keeps_so_many_pieces_and_the_newest(bench):
    forge = bench.enrol()
    for n in range(6):
        forge.posture = b"%d" % n
        bench.attest(forge)
        bench.clock.pass_s(1)
    with bench.store.writing() as tx:
        tx.evidence.trim(CAM1, 3, MOST_KEPT_BYTES)
    assert bench.sql("SELECT count(*) FROM evidence") == [(3,)]
    with bench.store.writing() as tx:
        tx.evidence.trim(CAM1, 3, 0)
        last = tx.evidence.last(CAM1)
    assert bench.sql("SELECT count(*) FROM evidence") == [(1,)]
    assert last is not None and last.raw.find(b"5") >= 0


def test_n132_what_nothing_refers_to_is_collected_and_nothing_else(bench):
    forge = bench.enrol()
    with bench.store.writing() as tx:
        tx.evidence.keep_boot_log(b"u" * 32, b"a log of nobody")
        tx.evidence.keep_ima("camera.line-1.gone", 1, 1, 0, 1, b"a list of nobody")
    before = bench.sql("SELECT count(*) FROM boot_logs"), bench.sql("SELECT id FROM evidence")
    EvidenceCollector(bench.store).collect()
    assert bench.sql("SELECT count(*) FROM boot_logs") == [(int(str(before[0][0][0])) - 1,)]
    gone = "SELECT count(*) FROM ima_segments WHERE device = ?"
    assert bench.sql(gone, "camera.line-1.gone") == [(0,)]
    assert bench.sql("SELECT id FROM evidence") == before[1]
    assert bench.attest(forge, known_log=True).state == "trusted"
    bench.clock.pass_s(KEEP_MS / 1000 + 1)
    EvidenceCollector(bench.store).collect()
    assert bench.sql("SELECT id FROM evidence") == []
    with bench.store.reading() as tx:
        device = tx.devices.get(CAM1)
        assert device is not None and tx.evidence.boot_log(device.baseline.boot_log_sha256)
    assert bench.sql("SELECT count(*) FROM ima_segments") == [(0,)]


def test_n132_collecting_takes_no_turn_of_a_writer_where_there_is_nothing(bench, monkeypatch):
    monkeypatch.setattr(bench.store, "writing", None)
    EvidenceCollector(bench.store).collect()
    say_what_strangers_failed(bench.store, InMemoryFailures())


# ---- N138: the record


def test_n138_failures_of_one_kind_are_one_entry_at_once_and_then_one_a_minute():
    fold, kind = InMemoryFailures(), FailureKind("sign-in", "stranger", "2001:db8::/64")
    assert [fold.add(kind, n) for n in range(1_000)] == [True] + [False] * 999
    assert fold.due(FOLD_MS - 1) == []
    (counted,) = fold.due(FOLD_MS)
    assert (counted.kind, counted.count) == (kind, 999)
    assert fold.due(2 * FOLD_MS) == [] and fold.add(kind, 2 * FOLD_MS) is True


def test_n138_kinds_past_what_is_told_apart_are_others():
    fold = InMemoryFailures()
    told = [fold.add(FailureKind("sign-in", "stranger", f"10.0.{n}.1"), 0) for n in range(5_000)]
    assert told.count(True) == MAX_FOLDED
    assert [(c.kind.prefix, c.count) for c in fold.due(FOLD_MS)] == [(OTHERS, 5_000 - MAX_FOLDED)]


def test_n138_a_networks_wrong_sign_ins_do_not_fill_the_record(front_desk, bench):
    """1,500 anonymous calls from one /64 under a hundred names."""
    csr, sign_in = certificate_request(), front_desk.sign_in
    for n in range(1_500):
        with pytest.raises(Refused):
            sign_in.break_glass(f"no-{n // 15}", "x", csr, SLASH64.format(n))
    assert len(bench.events("sign-in-failed")) == 1
    bench.clock.pass_s(61)
    for _ in range(2):
        say_what_strangers_failed(bench.store, sign_in.failures)
    first, counted = bench.events("sign-in-failed")
    assert "times" not in str(first) and "times" in str(counted)


def test_n138_a_known_persons_failures_are_told_under_their_name(front_desk, bench):
    front_desk.person("anna")
    for _ in range(3):
        with pytest.raises(Refused):
            front_desk.login(password="wrong")
    bench.clock.pass_s(61)
    say_what_strangers_failed(bench.store, front_desk.sign_in.failures)
    assert [e["actor"] for e in bench.events("sign-in-failed")] == ["operator.anna"] * 2


def test_n138_reports_of_the_join_port_are_bounded_whatever_it_sends(bench):
    record = StrangersRecord(bench.store)
    for _ in range(50):
        record.add(RefusedKind("ek-unknown", f"10.0.0.{n}", 2) for n in range(500))
    told = bench.events("strangers-refused")
    assert len(told) == MAX_KINDS
    bench.clock.pass_s(31)
    record.add([RefusedKind("malformed", "x\x1b[2J", 3)])
    told = bench.events("strangers-refused")
    assert len(told) == 2 * MAX_KINDS, "what waited is counted with the next"
    assert "\x1b" not in StrangersRefused(reason="r", source="x\x1b", count=1).detail
    assert SignInFailed(what="sign-in", source="10.0.0.1", count=3).detail.endswith("3 times")


def test_n130_the_join_port_is_told_who_is_no_stranger(bench):
    known, forge = KnownAtPort(bench.store), bench.forge()
    assert known.now().eks == known.now().tickets == b""
    code = bench.invite("cam1", ek=forge.ek_sha256)
    assert len(known.now().tickets) == 32 and known.now().eks == b""
    assert bench.join(forge, code).state == "trusted"
    assert known.now().tickets == b"" and known.now().eks == forge.ek_sha256
    assert known.now() is known.now(), "nothing is read where nothing happened"


def test_n130_who_is_no_stranger_follows_every_change_of_a_machine_or_its_ticket(bench):
    """What is told is what a look at the whole registry would tell, after each of them."""
    follows, told = KnownAtPort(bench.store), []

    def step(done: object = None) -> object:
        known, whole = follows.now(), KnownAtPort(bench.store).now()
        assert sorted(_digests(known.eks)) == sorted(_digests(whole.eks))
        assert sorted(_digests(known.tickets)) == sorted(_digests(whole.tickets))
        told.append((len(_digests(known.eks)), len(_digests(known.tickets))))
        return done

    forge, other = bench.forge(), bench.forge()
    step(bench.invite("cam1", ek=forge.ek_sha256))
    code = step(bench.invite("cam1", ek=forge.ek_sha256, code=b"\x02" * 16))
    step(bench.invite("cam2", code=b"\x03" * 16))
    step(bench.join(forge, code))
    step(bench.attest(forge))
    code = step(bench.invite("cam1", ek=other.ek_sha256, code=b"\x04" * 16, replaces=True))
    step(bench.join(other, code))
    step(bench.move(Edge.RETIRE))
    bench.clock.pass_s(100_000)
    step(bench.invite("cam3", code=b"\x05" * 16))
    assert told == [(0, 1), (0, 1), (0, 2), (1, 1), (1, 1), (1, 2), (1, 1), (0, 1), (0, 1)]


def test_n130_a_registry_that_was_put_back_is_read_anew(bench, tmp_path):
    known = KnownAtPort(bench.store)
    bench.invite("cam1")
    assert len(known.now().tickets) == 32
    with bench.store.writing() as tx:
        size = tx.log.size()
    bench.sql("DELETE FROM tickets")
    bench.sql(f"DELETE FROM log_entries WHERE id = {size - 1}")
    assert known.now().tickets == b""


def _digests(joined: bytes) -> list[bytes]:
    return [joined[n : n + 32] for n in range(0, len(joined), 32)]


def test_n131_quotas_by_ek_and_network_are_apart():
    quota = InMemoryBeginQuota()
    for n in range(int(BEGINS.burst)):
        quota.begin(b"a", SLASH64.format(n), 0)
    with refused_with(Refused, Reason.TOO_MANY_TRIES):
        quota.begin(b"a", SLASH64.format(9), 0)
    quota.begin(b"b", SLASH64.format(9), 0)
    quota.begin(b"a", "ipv4:10.0.0.1", 0)
    quota.begin(b"a", SLASH64.format(9), 2_000)
