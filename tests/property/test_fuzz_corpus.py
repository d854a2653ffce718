"""What fuzzing found worth keeping runs through every parser; flipped bits of good evidence
never verify.
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framegate.errors import FramegateError, Malformed
from framegate.evidence.offline import verify_files
from framegate.glob import BORDERS, matches
from framegate.ima import cut_entries, parse_ima
from framegate.ima.allowlist import AllowedFile, allowlist_text, parse_allowlist
from framegate_simulators.fuzz.run import replay_corpus, run_one, seeds, targets_cached
from framegate_simulators.machine.ima import ImaMachine
from support.paths import VECTORS

CORPUS = VECTORS / "corpus"


def test_the_kept_corpus_runs_through_every_target():
    counts = replay_corpus(CORPUS)
    assert set(counts) == set(targets_cached()) and sum(counts.values()) >= 50


@pytest.mark.parametrize("name", sorted(targets_cached()))
def test_seeds_and_their_neighbours_raise_nothing_but_our_errors(name):
    inputs = seeds()[name]

    @given(st.sampled_from(inputs), st.integers(0, 4000), st.integers(0, 255), st.integers(-3, 3))
    def check(data, at, value, shift):
        changed = bytearray(data)
        if changed:
            changed[at % len(changed)] = value
        run_one(name, bytes(changed[: len(changed) + min(0, shift)]) + bytes(max(0, shift)))

    check()


FILES = st.tuples(
    st.sampled_from(["sha256", "sha384", "sha512"]),
    st.binary(min_size=64, max_size=64),
    st.binary(min_size=1, max_size=30).filter(lambda p: b"\0" not in p),
)


@given(st.lists(FILES, max_size=10))
def test_allowlists_say_what_was_put_in(files):
    cut = {"sha256": 32, "sha384": 48, "sha512": 64}
    wanted = {AllowedFile(a, d[: cut[a]], p) for a, d, p in files}
    text = allowlist_text(wanted)
    parsed = parse_allowlist(text)
    assert set(parsed.files()) == wanted and allowlist_text(parsed.files()) == text
    assert all(parsed.allows(*f) for f in wanted)


@given(
    st.lists(
        st.tuples(
            st.binary(max_size=40).filter(lambda p: b"\0" not in p),
            st.binary(min_size=32, max_size=32),
            st.booleans(),
            st.booleans(),
        ),
        min_size=1,
        max_size=8,
    )
)
def test_ima_lists_read_what_was_measured(entries):
    machine = ImaMachine()
    for path, digest, violation, signed in entries:
        machine.measure(path, digest, violation=violation, signature=b"\3\2" if signed else None)
    raw = machine.list_from()
    measured = parse_ima(raw).entries
    assert [(e.path, e.violation, e.digest if not e.violation else None) for e in measured] == [
        (p, v, d if not v else None) for p, d, v, _ in entries
    ]
    assert [cut_entries(raw, n) for n in range(len(entries) + 1)] == [
        machine.list_from(n) for n in range(len(entries) + 1)
    ]
    for n in range(1, len(raw)):
        try:
            assert len(parse_ima(raw[:n]).entries) < len(entries) or raw[n:].strip(b"\n\0") == b""
        except Malformed:
            continue


_TEXTS = st.text('ab/ "\n', max_size=12) | st.text(max_size=30)


@given(_TEXTS, st.lists(st.sampled_from(["a", "b", "/", " ", "*", "**", '"', "ab"]), max_size=8))
def test_globs_agree_with_regular_expressions(text, parts):
    """`*` stays within a word, `**` is whole words: an expression that may backtrack agrees."""
    import re

    pattern, inside = "".join(parts), f"(?:(?!{BORDERS}).)*"
    pieces = re.split(f"({BORDERS})", pattern)
    expression = "".join(
        f"{inside}(?:{BORDERS}{inside})*"
        if piece == "**"
        else "".join(inside if c == "*" else re.escape(c) for c in piece)
        for piece in pieces
    )
    expected = re.fullmatch(expression, text, re.DOTALL) is not None
    assert matches(text, pattern) == expected
    assert matches(pattern, pattern)


@given(
    st.binary(max_size=300),
    st.binary(max_size=300),
    st.binary(max_size=100),
    st.binary(max_size=64),
)
def test_verifying_files_of_noise_never_affirms_and_never_raises(ak, attest, signature, nonce):
    report = verify_files(
        ak=ak, attest=attest, signature=signature, nonce=nonce, pcrs={}, boot_log=ak, ima=attest
    )
    assert not report.affirming


def test_parsers_refuse_with_our_errors_only():
    for name in targets_cached():
        for data in (b"", b"\0", b"\xff" * 100, bytes(5000)):
            try:
                run_one(name, data)
            except FramegateError as error:  # run_one takes ours: nothing may arrive here
                raise AssertionError from error
