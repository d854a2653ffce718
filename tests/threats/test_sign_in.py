"""N139, N140, N143: copied security keys, guesses that come at once, device codes, providers that
are slow.
"""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from framegate.errors import FramegateError, Reason, Refused
from framegate_controller import bounded_http
from framegate_controller.joinport.messages import PassedEvidence
from framegate_controller.people import factors
from framegate_controller.people.oidc import OidcProvider, OidcSettings
from framegate_controller.rpc.join import JoinService
from framegate_controller.rpc.sign_in_threads import Lane, SignInThreads
from framegate_controller.rpc.signin import PASSWORDS, PROVIDER, SignInService
from framegate_controller.settings import ControllerSettings
from framegate_controller.store.shared.ceremonies import MAX_FLOWS, InMemoryWaiting
from framegate_controller.store.shared.limits import PAIR_TRIES, InMemorySignInLimits
from framegate_controller.store.shared.tries import InMemoryTicketTries
from framegate_controller.timing import TICKET_TRIES
from framegate_proto.v1 import framegate_pb2 as pb
from framegate_simulators.fixtures.access import PASSWORD, certificate_request
from support.front_desk import HERE
from support.refusals import refused
from support.security_key import SoftSecurityKey
from support.waiting import until


def registered(front_desk, **how) -> SoftSecurityKey:
    key = SoftSecurityKey(**how)
    with front_desk.store.writing() as tx:
        keys = front_desk.sign_in.security_keys
        challenge = keys.register(tx, "anna")
        keys.registered(tx, "anna", challenge.state, key.create(challenge.options), "blue key")
    return key


def with_key(front_desk, key: SoftSecurityKey):
    challenge = front_desk.sign_in.key_begin("anna")
    answer = key.get(challenge.options)
    return front_desk.sign_in.key_complete(challenge.state, answer, certificate_request(), HERE)


def counter_of(front_desk) -> int:
    with front_desk.store.reading() as tx:
        return tx.people.keys("anna")[0].counter


@pytest.mark.parametrize("sent", [0, 1, 2, 3])
def test_n139_a_counter_that_does_not_rise_is_refused_recorded_and_changes_nothing(
    front_desk, sent
):
    """To zero it falls as well: that is what a copy whose counter somebody keeps at zero sends."""
    front_desk.person()
    key = registered(front_desk)
    with_key(front_desk, key)
    with_key(front_desk, key)
    kept = counter_of(front_desk)
    assert kept == 3
    key.device.counter = sent
    assert refused(lambda: with_key(front_desk, key)) == Reason.SIGN_IN
    assert counter_of(front_desk) == kept
    [told] = front_desk.bench.events("security-key-suspected")
    assert told["actor"] == "operator.anna" and str(kept) in told["detail"]
    assert front_desk.events().count("sign-in-failed") == 1


def test_n139_a_key_that_does_not_count_signs_in_again_and_again(front_desk):
    front_desk.person()
    key = registered(front_desk)
    key.device.counter, key.device.disable_counter = 0, True
    with front_desk.store.writing() as tx:
        [kept] = tx.people.keys("anna")
        tx.people.put_key(replace(kept, counter=0))
    assert [with_key(front_desk, key).operator for _ in range(3)] == ["anna"] * 3
    assert not front_desk.bench.events("security-key-suspected")


def test_n139_a_key_that_begins_to_count_has_to_go_on(front_desk):
    front_desk.person()
    key = registered(front_desk)
    with front_desk.store.writing() as tx:
        [kept] = tx.people.keys("anna")
        tx.people.put_key(replace(kept, counter=0))
    key.device.counter = 7
    assert with_key(front_desk, key).operator == "anna"
    key.device.counter = 0
    assert refused(lambda: with_key(front_desk, key)) == Reason.SIGN_IN


def at_once(count: int, guess) -> list[object]:
    """What `count` threads that begin together each come to: a value, or a reason."""
    together = threading.Barrier(count)

    def one(number: int) -> object:
        together.wait(30)
        try:
            return guess(number)
        except FramegateError as error:
            return error.reason

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(one, range(count)))


def test_n140_codes_that_are_guessed_at_once_are_as_many_tries(front_desk):
    front_desk.person()
    answers = at_once(20, lambda n: front_desk.login(code=f"{n:06d}"))
    assert answers.count(Reason.SIGN_IN) == PAIR_TRIES
    assert answers.count(Reason.LOCKED) == 20 - PAIR_TRIES
    # the first is told at once, the others as one entry with their number when the minute is over
    assert front_desk.events().count("sign-in-failed") == 1


def test_n140_sealed_credentials_and_enrolment_codes_that_are_guessed_at_once(front_desk):
    front_desk.person()
    sign_in = front_desk.sign_in
    answers = at_once(
        12, lambda n: sign_in.break_glass("anna", f"{n:040d}", certificate_request(), HERE)
    )
    assert answers.count(Reason.SIGN_IN) == PAIR_TRIES
    answers = at_once(12, lambda n: sign_in.enrol_begin("anna", f"{n:040d}", "ipv4:10.9.9.9"))
    assert answers.count(Reason.SIGN_IN) == PAIR_TRIES


def test_n140_no_factor_is_looked_at_before_its_try_is_counted(front_desk, monkeypatch):
    front_desk.person()
    limits = front_desk.sign_in.limits
    for _ in range(PAIR_TRIES):
        limits.begin("anna", HERE, front_desk.clock())
    monkeypatch.setattr(
        "framegate_controller.people.signin.right_password",
        lambda *_: pytest.fail("looked at the password"),
    )
    assert refused(front_desk.login) == Reason.LOCKED


def test_n140_a_shift_that_signs_in_at_once_through_one_address_is_let_in():
    limits = InMemorySignInLimits()
    for number in range(200):
        limits.good(limits.begin(f"name-{number}", "ipv4:10.0.0.1", 0))
    limits.begin("one-more", "ipv4:10.0.0.1", 0)


def test_n140_tickets_that_are_tried_at_once_are_as_many_tries():
    tries = InMemoryTicketTries()
    answers = at_once(30, lambda _: tries.begin("ipv4:10.0.0.1", 0))
    assert answers.count(None) == TICKET_TRIES
    tries.right("ipv4:10.0.0.1", 0)
    tries.begin("ipv4:10.0.0.1", 0)
    assert refused(lambda: tries.begin("ipv4:10.0.0.1", 0)) == Reason.TOO_MANY_TRIES
    tries.begin("ipv4:10.0.0.1", 61_000)


def test_n143_no_device_code_where_the_controller_was_not_told_to_give_any():
    provider = OidcProvider(
        OidcSettings("http://127.0.0.1:9", "framegate"), InMemoryWaiting(MAX_FLOWS)
    )
    with pytest.raises(Refused) as said:  # and not that the provider cannot be reached
        provider.begin("device", "", "p", 0)
    assert said.value.reason == Reason.SIGN_IN
    assert not ControllerSettings(state=Path("none")).oidc_device_code


class SlowIssuer:
    """A provider that takes its time, until `go` is set; then it sends `body`."""

    def __init__(self, body: bytes = b"{}") -> None:
        self.asked, self.go = threading.Semaphore(0), threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked.release()
                outer.go.wait(30)
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.go.set()
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def slow_issuer():
    issuer = SlowIssuer(b"x" * (bounded_http.MAX_BODY + 1))
    yield issuer
    issuer.close()


class Call:
    """A call on the join port from `address`."""

    def __init__(self, address: str) -> None:
        self.address = address

    def peer(self) -> str:
        return f"{self.address}:5000"

    async def abort(self, *_: object, **__: object) -> None:
        raise RuntimeError("refused")


async def test_n143_a_provider_that_does_not_answer_holds_up_no_password(front_desk, slow_issuer):
    """Every place for those who wait for it is taken; passwords have threads of their own, and one
    address cannot take every place.
    """
    front_desk.person()
    front_desk.sign_in.oidc = OidcProvider(
        OidcSettings(slow_issuer.address, "framegate"), InMemoryWaiting(MAX_FLOWS)
    )
    service = SignInService(front_desk.sign_in, front_desk.bench.fleet, NoBus())
    asked = pb.OidcBeginRequest(flow="code", redirect_uri="http://127.0.0.1:5/")
    calls = [
        asyncio.create_task(service.OidcBegin(asked, Call(f"ipv4:10.0.0.{n // 8}")))
        for n in range(8 * PROVIDER.calls)
    ]
    for _ in range(PROVIDER.threads):
        assert await asyncio.to_thread(slow_issuer.asked.acquire, timeout=10)
    waiting = [c for c in calls if not c.done()]
    assert len(waiting) == PROVIDER.calls
    request = pb.PasswordRequest(
        operator="anna", password=PASSWORD, code=front_desk.code(), csr=certificate_request()
    )
    signed_in = await asyncio.wait_for(service.Password(request, Call("ipv4:10.0.0.1")), 10)
    assert signed_in.operator == "anna"
    slow_issuer.go.set()
    done = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(d, Exception) for d in done)


async def test_n143_a_caller_that_hangs_up_leaves_its_place_only_when_its_thread_does():
    threads, gate = SignInThreads(Lane("test", threads=1, calls=2, calls_address=2)), Gate()
    first = asyncio.create_task(threads.run("a", gate))
    second = asyncio.create_task(threads.run("b", lambda: 2))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.sleep(0)
    assert first.cancelled()
    with pytest.raises(FramegateError) as caught:
        await threads.run("c", lambda: 3)
    assert caught.value.reason == Reason.TOO_MANY_TRIES
    gate.set()
    assert await second == 2
    assert await threads.run("c", lambda: 3) == 3


async def test_n130_two_hundred_who_sign_in_at_once_leave_evidence_its_core(
    front_desk, maker, monkeypatch
):
    """One hash at a time, 64 that wait, the others are told so; while they all wait, a machine
    joins, and a person with a security key begins to sign in.
    """
    front_desk.person()
    hashing, gate = [], Gate()

    def slow(stored: str, password: str) -> bool:
        hashing.append(threading.current_thread().name)
        return gate() and factors.right_password(stored, password)

    monkeypatch.setattr("framegate_controller.people.signin.right_password", slow)
    service = SignInService(front_desk.sign_in, front_desk.bench.fleet, NoBus())
    request = pb.PasswordRequest(
        operator="anna", password=PASSWORD, code=front_desk.code(), csr=certificate_request()
    )
    calls = [
        asyncio.create_task(service.Password(request, Call(f"ipv4:10.0.{n}.1"))) for n in range(200)
    ]
    key = await service.KeyBegin(pb.KeyBeginRequest(operator="anna"), Call("ipv4:10.1.0.1"))
    assert key.options
    join = JoinService(front_desk.bench.verifier, NoBus())
    forge = front_desk.bench.forge()
    hello = forge.hello(front_desk.bench.invite(ek=forge.ek_sha256))
    begun = await join.Begin(pb.BeginRequest(hello=hello), Call("ipv4:10.1.0.2"))
    mac, evidence = forge.answer(front_desk.bench.fleet.digest, hello, begun.challenge)
    passed = PassedEvidence(state=begun.state, mac=mac, evidence=evidence)
    assert (await join.Complete(passed, Call("ipv4:10.1.0.2"))).state == "trusted"
    await until(lambda: hashing)
    waiting = [c for c in calls if not c.done()]
    assert len(waiting) == PASSWORDS.calls and len(hashing) == PASSWORDS.threads == 1
    gate.set()
    done = await asyncio.gather(*calls, return_exceptions=True)
    assert len(set(hashing)) == 1, "and never two side by side"
    assert sum(isinstance(d, pb.SignedIn) for d in done) == 1, "a code counts once"


def test_n143_an_answer_without_end_is_no_answer(slow_issuer):
    slow_issuer.go.set()
    provider = OidcProvider(
        OidcSettings(slow_issuer.address, "framegate"), InMemoryWaiting(MAX_FLOWS)
    )
    begin = lambda: provider.begin("code", "http://127.0.0.1:5/", "p", 0)  # noqa: E731
    assert refused(begin) == Reason.SIGN_IN


class NoBus:
    async def publish(self, _notices: object) -> None: ...


class Gate(threading.Event):
    def __call__(self) -> bool:
        return self.wait(30)
