"""What a line says of itself: for looking at, and still nobody else's word, and of now."""

from dataclasses import replace

import pytest

from framegate.errors import FramegateError, Reason
from framegate.identity.certificates import Purpose, from_ms
from framegate.signed.decision import Notice
from framegate.signed.line_state import LineState, verify_line_state
from framegate.signed.statement import CLOCK_SLACK_MS


def sealed(bench, state, name="line.press-7", purpose=Purpose.LINE, label="broker-ca"):
    key = bench.signer(name, purpose, label)
    return state.seal(key.der, key.sign)


@pytest.fixture
def state(bench_line) -> LineState:
    return LineState("press-7", ("mqtt",), ("modbus:plc:502",), bench_line.now)


def verify(bench, envelope, line="press-7", at_ms=None):
    now = from_ms(bench.now if at_ms is None else at_ms)
    return verify_line_state(
        envelope, line, bench.fleet.intermediates, bench.fleet.root.certificate, now
    )


def line_ca(bench) -> str:
    """The CA that certifies lines."""
    issuer = bench.adapter._credentials.certificate.issuer
    return next(n for n, k in bench.fleet.issuing.items() if k.certificate.subject == issuer)


def test_a_lines_own_word_of_now(bench_line, state):
    own = bench_line.adapter._credentials
    assert verify(bench_line, state.seal(own.der, own.sign)) == state


def test_another_lines_word(bench_line, state):
    own = bench_line.adapter._credentials
    for envelope in (
        replace(state, line="press-8").seal(own.der, own.sign),
        sealed(bench_line, state, "line.press-8", label=line_ca(bench_line)),
        sealed(bench_line, state, "line.press-7-plc", label=line_ca(bench_line)),
    ):
        with pytest.raises(FramegateError) as caught:
            verify(bench_line, envelope)
        assert caught.value.reason == Reason.DECISION


def test_a_gateways_key_speaks_for_no_line(bench_line, state):
    envelope = sealed(bench_line, state, "line.press-7", Purpose.VERDICT, "gateway-ca")
    with pytest.raises(FramegateError) as caught:
        verify(bench_line, envelope)
    assert caught.value.reason != Reason.DECISION


@pytest.mark.parametrize("off_ms", [-CLOCK_SLACK_MS - 1, CLOCK_SLACK_MS + 1])
def test_an_old_word_told_again_and_one_from_the_future(bench_line, state, off_ms):
    own = bench_line.adapter._credentials
    envelope = state.seal(own.der, own.sign)
    with pytest.raises(FramegateError) as caught:
        verify(bench_line, envelope, at_ms=bench_line.now - off_ms)
    assert caught.value.reason == Reason.DECISION


def test_a_heartbeat_is_no_state(bench_line):
    own = bench_line.adapter._credentials
    beat = Notice("press-7", "heartbeat", 1, "", bench_line.now).seal(own.der, own.sign)
    with pytest.raises(FramegateError) as caught:
        verify(bench_line, beat)
    assert caught.value.reason == Reason.ENVELOPE


def test_every_flipped_byte_is_refused(bench_line, state):
    own = bench_line.adapter._credentials
    envelope = bytearray(state.seal(own.der, own.sign))
    for at in range(0, len(envelope), 37):
        envelope[at] ^= 1
        with pytest.raises(FramegateError):
            verify(bench_line, bytes(envelope))
        envelope[at] ^= 1
