"""What a restored registry does not go on with."""

from dataclasses import replace

import pytest

from framegate.federation.receipts import SiteStanding
from framegate.identity.names import DeviceId, Kind
from framegate.machines.lifecycle import Event as Edge
from framegate.machines.request import RequestKind, RequestState
from framegate.machines.rollout import RolloutState
from framegate.machines.ticket import TicketState
from framegate.registry.device import GatewayProcess
from framegate.registry.operator import OperatorSession
from framegate.registry.request import AccessRequest
from framegate.signed.receipt import b64
from framegate.wire import sha256
from framegate_controller.people.policies import found_policy
from framegate_controller.people.signin import seal_break_glass, withdraw_break_glass
from framegate_controller.record.batches import record_batch
from framegate_controller.restoration.begin import begin_again
from framegate_controller.restoration.seen import Seen
from framegate_gateway.receipts.store import ReceiptStore
from framegate_simulators.fixtures.access import add_person
from support.other_sites import site
from support.rollouts import running_rollout

pytestmark = pytest.mark.slow

CAMERA = "camera.line-1.cam1"


def begun(bench, seen: Seen | None = None):
    bench.clock.pass_s(1)
    with bench.store.writing() as tx:
        found_policy(tx, bench.keys)
        return begin_again(tx, bench.keys, seen or Seen(), "backup.tar")


def counts(done) -> dict[str, int]:
    return {w.what: w.count for w in done.withdrawn}


def test_a_machine_is_trusted_again_only_by_a_fresh_proof_with_its_whole_logs(bench):
    forge = bench.enrol()
    bench.attest(forge, known_log=True)
    done = begun(bench)
    device = bench.device()
    assert counts(done)["machines' results"] == 1
    assert device.state == "stale" and not device.standing.result_id
    assert not device.baseline.boot_log_sha256 and device.baseline.ima is None
    assert device.baseline.clock is not None, "counters that fell since are still found out"
    answer = bench.attest(forge, known_log=True)
    assert answer.state != "trusted" or not answer.failures
    assert bench.attest(forge).state == "trusted"


def test_an_unused_ticket_is_gone_and_a_used_one_stays_used(bench):
    bench.enrol()
    code = bench.invite("cam2", code=b"\x02" * 16)
    assert counts(begun(bench))["unused tickets"] == 1
    with bench.store.reading() as tx:
        assert tx.tickets.get(sha256(code)) is None
        used = tx.tickets.get(sha256(b"cam1".ljust(16, b".")))
        assert used is None or used.state(tx.now_ms) == TicketState.USED


def test_people_sign_in_anew_and_codes_of_paper_are_void(bench):
    add_person(bench.store, bench.keys, "erik", "engineer")
    with bench.store.writing() as tx:
        person = tx.people.get("erik")
        factors = replace(person.factors, recovery=("a", "b"), enrolment="hash")
        tx.people.put(replace(person, factors=factors))
        tx.people.put_session(
            OperatorSession(
                spki_sha256=b"k" * 32,
                operator="erik",
                began_ms=tx.now_ms,
                expires_ms=tx.now_ms + 60_000,
                factor_ms=tx.now_ms,
                method="password",
                source="here",
            )
        )
        seal_break_glass(tx)
    done = counts(begun(bench))
    assert done["sessions of people"] == 1 and done["people's recovery codes"] == 1
    assert done["enrolment codes"] == 1 and done["sealed credentials"] == 1
    with bench.store.writing() as tx:
        person = tx.people.get("erik")
        assert not tx.people.sessions(tx.now_ms) and not person.factors.recovery
        assert not person.factors.enrolment and not withdraw_break_glass(tx)
        assert person.factors.totp_step >= tx.now_ms // 30_000 - 1 or not person.factors.totp


@pytest.mark.parametrize(
    ("kind", "state", "after"),
    [
        (RequestKind.ACT, RequestState.PENDING, RequestState.EXPIRED),
        (RequestKind.ACT, RequestState.APPROVED, RequestState.EXPIRED),
        (RequestKind.ROLE, RequestState.PENDING, RequestState.EXPIRED),
        (RequestKind.ROLE, RequestState.APPROVED, RequestState.ENDED),
        (RequestKind.REVIEW, RequestState.PENDING, RequestState.PENDING),
        (RequestKind.ACT, RequestState.USED, RequestState.USED),
    ],
)
def test_approvals_and_roles_for_a_while_end_and_reviews_stay(bench, kind, state, after):
    with bench.store.writing() as tx:
        tx.requests.put(
            AccessRequest(
                id="0123456789abcdef",
                kind=kind,
                requester="erik",
                zone="line-1",
                summary="s",
                reason="r",
                state=state,
                expires_ms=tx.now_ms + 60_000,
                until_ms=tx.now_ms + 60_000,
            )
        )
    begun(bench)
    with bench.store.reading() as tx:
        assert tx.requests.find("0123456789abcdef").state == after


def test_who_was_held_or_barred_since_stays_so(bench):
    bench.enrol()
    add_person(bench.store, bench.keys, "erik", "engineer")
    with bench.store.writing() as tx:
        found_policy(tx, bench.keys)
        kept = tx.log.size()
    seen = Seen(
        size=kept + 3,
        exported={
            kept - 1: {"device": "camera.line-1.cam9", "to": "quarantined"},
            kept: {"device": CAMERA, "to": "stale"},
            kept + 1: {"device": CAMERA, "to": "quarantined"},
            kept + 2: {"event": "operator-disabled", "members": {"operator": "erik"}},
        },
    )
    done = counts(begun(bench, seen))
    assert bench.state() == "quarantined" and done["machines held since"] == 1
    assert done["operators disabled since"] == 1
    with bench.store.reading() as tx:
        assert not tx.people.get("erik").enabled


def test_a_machine_that_was_quarantined_before_stays_quarantined(bench):
    forge = bench.enrol()
    bench.move(Edge.QUARANTINE)
    begun(bench)
    assert bench.state() == "quarantined"
    assert bench.attest(forge).state == "quarantined"


def test_the_record_tells_of_it(bench):
    begun(bench)
    (entry,) = bench.events("registry-restored")
    assert entry["members"]["number"] == 1 and entry["members"]["kept"] >= 1


def test_receipts_whose_entries_were_lost_are_recorded_again(recorder, tmp_path):
    store = ReceiptStore(tmp_path / "gateway")
    batches = [recorder.first, recorder.next(recorder.first)]
    for number, batch in enumerate(batches, start=1):
        sealed = batch.seal(recorder.signer.der, recorder.signer.sign)
        store.add_batch(number, batch.first, batch.count, batch.payload(), sealed)
        proof = {"entry": b64(b"e"), "index": 10 + number, "path": [], "checkpoint": b64(b"c")}
        store.add_log(number, proof)
    assert store.unlogged() == []
    assert store.forget_logs(13) == 0 and store.forget_logs(12) == 1
    assert [batch.number for batch in store.unlogged()] == [2]
    assert store.forget_logs(1) == 1
    for unlogged in store.unlogged():  # a registry that knows nothing of either
        with recorder.bench.store.writing() as tx:
            record_batch(tx, recorder.keys, "gateway.line-1.gw1", unlogged.envelope)
    store.close()


def test_gateway_processes_are_forgotten_until_their_host_attests(bench):
    bench.enrol("gw1", Kind.GATEWAY)
    host = DeviceId("gateway.line-1.gw1")
    process = GatewayProcess(
        publics_sha256=b"\x01" * 32, host=host, publics=b"publics", result_id="r"
    )
    with bench.store.writing() as tx:
        tx.gateways.replace(host, [process])
    begun(bench)
    with bench.store.reading() as tx:
        assert tx.gateways.of_host(host) == []


def test_a_rollout_that_ran_waits_for_a_person(bench):
    """How far it had come, and whether it was stopped since, nobody who restores can know."""
    with bench.store.writing() as tx:
        tx.rollouts.put(running_rollout(bench.clock()))
    assert counts(begun(bench))["running rollouts, paused"] == 1
    with bench.store.reading() as tx:
        assert [r.state for r in tx.rollouts.in_state(tuple(RolloutState))] == ["paused"]


def test_n198_a_site_that_may_have_been_withdrawn_since_does_not_count(bench, north):
    with bench.store.writing() as tx:
        tx.sites.put(site(north))
    assert counts(begun(bench))["other sites"] == 1
    with bench.store.reading() as tx:
        assert tx.sites.get("north").standing is SiteStanding.WITHDRAWN
    assert len(bench.events("site-withdrawn")) == 1
    assert "other sites" not in counts(begun(bench))
