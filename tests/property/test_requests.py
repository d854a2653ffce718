"""Complete requests of a machine, one member of which is anything: the verifier says why it refuses
them, by name, or takes them; nothing else comes out of it (N17, N85).
"""

import struct
from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from framegate.errors import FramegateError, Reason
from framegate.identity.names import Kind
from framegate.tpm.attest import Attest
from framegate.wire import AttestHello, Evidence, GatewayPublics, Hello
from framegate_gateway.trust.keys import GatewayKeys
from framegate_simulators.forge.forge import Forge
from support.bench import Bench

PUBLICS = tuple(GatewayKeys("a:1", "a:2", b"m" * 32).newest.publics for _ in range(2))
ODD_TEXT = (b"", b"{}", b"[]", b'{"a":"\\ud800"}', b"\xff\xfe", b'{"a":NaN}', b"0" * 64)
FLOW = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
Change = Callable[[Any], Any]


def doubled(value: Any) -> Any:
    return value + value if isinstance(value, bytes | tuple | str) else value * 2


def emptied(value: Any) -> Any:
    return type(value)()


def cut(value: Any) -> Any:
    return value[: len(value) // 2] if isinstance(value, bytes | tuple | str) else value // 2


def flipped(at: int) -> Change:
    def change(value: Any) -> Any:
        if isinstance(value, bytes) and value:
            i = at % len(value)
            return value[:i] + bytes([value[i] ^ 1 << at % 8]) + value[i + 1 :]
        if isinstance(value, tuple) and value:
            return tuple(change(v) for v in value)
        return value

    return change


def other(raw: bytes) -> Change:
    def change(value: Any) -> Any:
        if isinstance(value, bytes):
            return raw
        return (raw, raw) if isinstance(value, tuple) else value

    return change


changes = st.one_of(
    st.sampled_from([doubled, emptied, cut]),
    st.integers(0, 4096).map(flipped),
    st.sampled_from([other(raw) for raw in ODD_TEXT]),
    st.binary(max_size=80).map(other),
)


def names(record: type) -> st.SearchStrategy[str]:
    return st.sampled_from([f.name for f in fields(record)])


def changed(raw: bytes, record: Any, name: str, change: Change) -> bytes:
    parsed = record.parse(raw)
    return replace(parsed, **{name: change(getattr(parsed, name))}).marshal()


def named(name: str) -> str:
    return f"{'gateway' if name == 'gw1' else 'camera'}.line-1.{name}"


class Machines:
    """A camera and a gateway host that are trusted, and what they send by themselves."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.forges = {"cam1": bench.enrol("cam1"), "gw1": bench.enrol("gw1", Kind.GATEWAY)}

    def sound(self, name: str) -> Forge:
        """The machine as it is when nothing is changed; its shares are full again."""
        self.bench.clock.pass_s(600)
        forge = self.forges[name]
        forge.with_evidence().with_quote().with_certify()
        forge.publics = PUBLICS if name == "gw1" else ()
        return forge

    def attests(self, name: str, hello: bytes = b"") -> None:
        """On the fleet port."""
        forge, verifier = self.forges[name], self.bench.verifier
        hello = hello or forge.attest_hello()
        begun = refused_by_name(lambda: verifier.begin_attest(hello, named(name)))
        evidence = begun and built(
            lambda: forge.answer(self.bench.fleet.digest, hello, begun.challenge, join=False)
        )
        if evidence:
            refused_by_name(lambda: verifier.complete_attest(begun.state, evidence[1], named(name)))

    def joins(self, name: str, hello: bytes = b"") -> None:
        """On the join port."""
        forge, verifier = self.forges[name], self.bench.verifier
        hello = hello or forge.hello()
        begun = refused_by_name(lambda: verifier.begin_join(hello, "ipv4:10.0.0.1"))
        sent = begun and built(
            lambda: forge.answer(self.bench.fleet.digest, hello, begun.challenge)
        )
        if sent:
            refused_by_name(lambda: verifier.complete_join(begun.state, *sent))


def refused_by_name(ask: Callable[[], Any]) -> Any:
    """What it gives, None where it is refused by a reason that has a name: whatever else comes out
    fails the test.
    """
    try:
        return ask()
    except FramegateError as error:
        assert Reason.INTERNAL not in {f.reason for f in error.failures}
        return None


def built(work: Callable[[], Any]) -> Any:
    """What a forge makes, None where it cannot write such a thing down."""
    try:
        return work()
    except (FramegateError, ValueError, TypeError, OverflowError, AttributeError, struct.error):
        return None


@pytest.fixture
def machines(bench):
    return Machines(bench)


@FLOW
@given(name=names(Hello), change=changes)
def test_n17_a_hello_of_which_one_member_is_anything(machines, name, change):
    forge = machines.sound("cam1")
    hello = built(lambda: changed(forge.hello(), Hello, name, change))
    if hello is not None:
        machines.joins("cam1", hello)


@FLOW
@given(name=names(AttestHello), change=changes)
def test_n85_a_hello_of_an_enrolled_machine_of_which_one_member_is_anything(machines, name, change):
    hello = built(lambda: changed(machines.sound("cam1").attest_hello(), AttestHello, name, change))
    if hello is not None:
        machines.attests("cam1", hello)


@FLOW
@given(
    who=st.sampled_from(["cam1", "gw1"]), name=names(Evidence), change=changes, join=st.booleans()
)
def test_n85_evidence_of_which_one_member_is_anything(machines, who, name, change, join):
    """After the TPM signed: what somebody on the machine, or on the way, can do."""
    machines.sound(who).with_evidence(**{name: change})
    (machines.joins if join else machines.attests)(who)


@FLOW
@given(change=changes, name=names(GatewayPublics))
def test_n85_gateway_keys_of_which_one_member_is_anything_under_a_sound_quote(
    machines, change, name
):
    """Before the TPM signed: what a gateway process, or root on its host, can have it sign."""
    forge = machines.sound("gw1")
    raw = built(lambda: changed(PUBLICS[0], GatewayPublics, name, change))
    if raw is not None:
        forge.publics = (raw, PUBLICS[1])
        machines.attests("gw1")


@FLOW
@given(who=st.sampled_from(["cam1", "gw1"]), change=changes, posture=st.booleans())
def test_n85_a_sound_quote_over_anything(machines, who, change, posture):
    forge = machines.sound(who)
    before = forge.posture
    if posture:
        forge.posture = change(before)
    else:
        forge.publics = change(PUBLICS)
    try:
        machines.attests(who)
    finally:
        forge.posture = before


@FLOW
@given(name=names(Attest), change=changes, certify=st.booleans())
def test_n85_statements_of_which_one_member_is_anything(machines, name, change, certify):
    forge = machines.sound("gw1")

    def of(statement: Attest) -> Attest:
        return replace(statement, **{name: change(getattr(statement, name))})

    if certify:
        forge.change_certify = of
    else:
        forge.change_quote = of
    (machines.joins if certify else machines.attests)("gw1")


def test_every_one_of_them_is_taken_as_it_is(machines):
    """The requests that the others change are sound."""
    for who in ("cam1", "gw1"):
        machines.sound(who)
        machines.joins(who)
        machines.attests(who)
        assert machines.bench.state(named(who)) == "trusted"
