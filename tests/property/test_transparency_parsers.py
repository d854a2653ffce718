"""Notes, heads, submissions, proofs and entries: whatever bytes come, our errors alone come out;
and what is written is read as it was.
"""

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from hypothesis import given
from hypothesis import strategies as st

from framegate.errors import FramegateError, Malformed
from framegate.record.merkle import Tree, data_tree
from framegate.transparency.cosignature import cosign, cosignatures, witness_key
from framegate.transparency.decision import MAX_SUBJECT, Decision, Kind, parse_decision
from framegate.transparency.head import MAX_SIZE, TreeHead, parse_head
from framegate.transparency.note import Note, parse_note, parse_note_key, parse_signatures
from framegate.transparency.proof import (
    Inclusion,
    TlogProof,
    parse_proof,
    require_goes_on,
    verify_inclusion,
)
from framegate.transparency.submission import Submission, parse_submission

KEY = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
NAME = "witness.example/w"
HASHES = st.lists(st.binary(min_size=32, max_size=32), max_size=63).map(tuple)
HEADS = st.builds(
    TreeHead,
    origin=st.from_regex(r"[a-z]{1,20}(/[0-9]{1,3})?", fullmatch=True),
    size=st.integers(0, MAX_SIZE),
    root=st.binary(min_size=32, max_size=32),
)
DECISIONS = st.builds(
    Decision,
    kind=st.sampled_from(Kind),
    subject=st.text(min_size=1, max_size=MAX_SUBJECT),
    version=st.integers(0, 2**63 - 1),
    sha256=st.binary(min_size=32, max_size=32).map(bytes.hex),
    at_ms=st.integers(0, 2**63 - 1),
)
PARSERS = {
    "note": parse_note,
    "submission": parse_submission,
    "proof": parse_proof,
    "decision": parse_decision,
    "head": lambda data: parse_head(data.decode("utf-8", "replace")),
    "key": lambda data: parse_note_key(data.decode("utf-8", "replace")),
    "signatures": lambda data: parse_signatures(data.decode("utf-8", "replace")),
}


def noted(head: TreeHead) -> Note:
    return Note(head.text, parse_signatures(cosign(head.text, NAME, KEY, 1)))


@pytest.mark.parametrize("name", PARSERS)
@given(data=st.binary(max_size=400))
def test_any_bytes_end_in_our_errors(name, data):
    try:
        PARSERS[name](data)
    except FramegateError as error:
        assert isinstance(error, Malformed)


@pytest.mark.parametrize("name", ["note", "submission", "proof", "decision"])
@given(head=HEADS, at=st.integers(0, 300), byte=st.integers(0, 255), decision=DECISIONS)
def test_a_byte_that_was_changed_is_an_error_or_another_value_that_reads_back(
    name, head, at, byte, decision
):
    note = noted(head)
    whole = {
        "note": note.data,
        "submission": Submission(3, (bytes(32),), note).body,
        "proof": TlogProof(Inclusion(decision.data, 1, (bytes(32),)), note.data).data,
        "decision": decision.data,
    }[name]
    changed = bytearray(whole)
    changed[at % len(changed)] = byte
    written = {"note": "data", "submission": "body", "proof": "data", "decision": "data"}[name]
    try:
        parsed = PARSERS[name](bytes(changed))
    except FramegateError:
        return
    again = getattr(parsed, written)
    assert again == bytes(changed) or PARSERS[name](again) == parsed


@given(head=HEADS, old=st.integers(0, MAX_SIZE), proof=HASHES)
def test_what_is_written_is_read(head, old, proof):
    note = noted(head)
    assert parse_note(note.data) == note
    assert parse_head(note.text) == head
    submission = Submission(old, proof, note)
    assert parse_submission(submission.body) == submission
    (cosigned,) = cosignatures(note, (witness_key(NAME, KEY.public_key()),), 1)
    assert cosigned.at_s == 1


@given(decisions=st.lists(DECISIONS, min_size=1, max_size=12), data=st.data())
def test_every_entry_has_a_proof_and_no_other_place(decisions, data):
    tree = data_tree([d.data for d in decisions])
    head = TreeHead("log", tree.size, tree.root)
    index = data.draw(st.integers(0, tree.size - 1))
    proof = TlogProof(
        Inclusion(decisions[index].data, index, tuple(tree.path(index))), noted(head).data
    )
    assert parse_proof(proof.data) == proof
    assert verify_inclusion(proof.inclusion, head) == decisions[index]
    other = data.draw(st.integers(0, tree.size))
    if other != index and (other == tree.size or decisions[other] != decisions[index]):
        with pytest.raises(FramegateError):
            verify_inclusion(Inclusion(decisions[index].data, other, proof.inclusion.path), head)


@given(
    leaves=st.lists(st.binary(min_size=32, max_size=32), min_size=1, max_size=40), data=st.data()
)
def test_a_log_goes_on_from_its_own_heads_alone(leaves, data):
    from framegate.record.merkle import consistency_path

    size = data.draw(st.integers(1, len(leaves)))
    whole, part = Tree(leaves), Tree(leaves[:size])
    before, after = TreeHead("l", size, part.root), TreeHead("l", len(leaves), whole.root)
    path = consistency_path(size, len(leaves), whole.node)
    require_goes_on(before, after, path)
    flipped = TreeHead("l", size, bytes(b ^ 1 for b in part.root))
    with pytest.raises(FramegateError):
        require_goes_on(flipped, after, path)
    if size < len(leaves):
        with pytest.raises(FramegateError):
            require_goes_on(after, before, path)


EXAMPLE = (
    "old 20852014\n"
    "PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=\n"
    "jrJZDmY8Y7SyJE0MWLpLozkIVMSMZcD5kvuKxPC3swk=\n"
    "5+pKlUdi2LeF/BcMHBn+Ku6yhPGNCswZZD1X/6QgPd8=\n"
    "/6WVhPs2CwSsb5rYBH5cjHV/wSmA79abXAwhXw3Kj/0=\n"
    "\n"
    "example.com/behind-the-sofa\n"
    "20852163\n"
    "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
    "\n"
    "— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7"
    "u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n"
    "— example.com/behind-the-sofa opLqBQsREYCgu6xQkYQwJr9fo45a62DN9EdmHXnZdXNqlcVGlCum2W"
    "ks+49/V6267UEjw6QUXTS5Rovnzv++qbSzm9Q=\n"
).encode()


def test_the_specifications_own_example_of_a_submission():
    submission = parse_submission(EXAMPLE)
    assert (submission.old, len(submission.proof)) == (20_852_014, 4)
    head = parse_head(submission.note.text)
    assert (head.origin, head.size) == ("example.com/behind-the-sofa", 20_852_163)
    assert len(submission.note.signatures) == 2
    assert submission.body == EXAMPLE


@pytest.mark.parametrize(
    "change",
    [
        (b"old 20852014", b"old 020852014"),
        (b"old 20852014", b"old -1"),
        (b"old 20852014", b"Old 20852014"),
        (b"old 20852014\n", b""),
        (b"20852163\n", b"020852163\n"),
        (b"20852163\n", b"9223372036854775808\n"),
        (b"\n\nexample", b"\nexample"),
        (b"PlRNCrwH", b"PlRNCrw!"),
        (b"DDpkaw=\n", b"DDpkax=\n"),
        (b"CsUYapGG", b"CsUYapG\r"),
        (b"\xe2\x80\x94 example", b"- example"),
        (b" Az3g", b"  Az3g"),
        (b"AYQ8=\n", b"AYQ8=\n\n"),
        (b"5xqbSzm9Q=\n", b"5xqbSzm9Q="),
    ],
    ids=lambda c: repr(c[1])[:16],
)
def test_a_submission_of_another_form_is_malformed(change):
    old, new = change
    if old not in EXAMPLE:
        old, new = b"bSzm9Q=\n", b"bSzm9Q="
    with pytest.raises(Malformed):
        parse_head(parse_submission(EXAMPLE.replace(old, new, 1)).note.text)
