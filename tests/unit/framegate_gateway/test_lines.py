"""Lines as a gateway hears them on its broker: only what verifies, of now, within bounds."""

from types import SimpleNamespace

import pytest

from framegate.signed.line_state import STATE_TOPIC, LineState
from framegate_gateway.verdicts import lines
from framegate_gateway.verdicts.lines import Lines

TOPIC = STATE_TOPIC.format(line="press-7")


@pytest.fixture
def heard(bench_line, monkeypatch):
    monkeypatch.setattr(lines, "EVERY_S", 0.0)
    credentials = SimpleNamespace(
        authorities=bench_line.fleet.intermediates, root=bench_line.fleet.root.certificate
    )
    return Lines(SimpleNamespace(credentials=credentials), lambda: bench_line.now)


def said(bench, line="press-7", **changes):
    members = {"line": line, "taking": ("mqtt",), "refusing": (), "issued_at_ms": bench.now}
    own = bench.adapter._credentials
    return LineState(**members | changes).seal(own.der, own.sign)


def test_the_newest_word_of_a_line_stands(bench_line, heard):
    heard.take(TOPIC, said(bench_line))
    heard.take(TOPIC, said(bench_line, taking=(), refusing=("mqtt",)))
    (row,) = heard.rows()
    assert (row.state.refusing, row.heard_ms) == (("mqtt",), bench_line.now)


def test_what_does_not_verify_is_as_if_it_had_not_come(bench_line, heard):
    for topic, payload in (
        (TOPIC, b""),
        (TOPIC, b"{}"),
        (TOPIC, said(bench_line)[:-9]),
        (STATE_TOPIC.format(line="press-8"), said(bench_line)),
        (TOPIC, said(bench_line, issued_at_ms=bench_line.now - 60_000)),
        (TOPIC, said(bench_line) + b" " * lines.MAX_BYTES),
    ):
        heard.take(topic, payload)
    assert heard.rows() == []


def test_a_gateway_without_a_warrant_hears_nobody(bench_line):
    deaf = Lines(SimpleNamespace(credentials=None), lambda: bench_line.now)
    deaf.take(TOPIC, said(bench_line))
    assert deaf.rows() == []


def test_whoever_speaks_too_fast_costs_no_signature_check(bench_line, heard, monkeypatch):
    monkeypatch.setattr(lines, "EVERY_S", 3600.0)
    checked = []
    real = lines.verify_line_state
    monkeypatch.setattr(lines, "verify_line_state", lambda *a: checked.append(a[1]) or real(*a))
    for _ in range(50):
        heard.take(TOPIC, said(bench_line))
    assert checked == ["press-7"] and len(heard.rows()) == 1


def test_names_on_topics_do_not_fill_memory(bench_line, heard, monkeypatch):
    monkeypatch.setattr(lines, "MAX_LINES", 4)
    for n in range(50):
        heard.take(STATE_TOPIC.format(line=f"l{n}"), said(bench_line))
    assert len(heard._looked) <= 4 and heard.rows() == []
