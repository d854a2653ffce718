"""Keys under which files may be signed."""

import hashlib

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import SubjectKeyIdentifier
from hypothesis import given
from hypothesis import strategies as st

from framegate.ima import parse_ima
from framegate.ima.allowlist import AllowedFile, Allowlist, allowlist_text, parse_allowlist
from framegate.ima.judge import ImaRules, ima_failures, key_id
from framegate.tpm.constants import Alg
from support.hostile_lists import entry, names

FILES = names(6)
NUMBERS = st.sets(st.integers(0, len(FILES) - 1))


def pem_of(key) -> bytes:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def test_a_key_is_named_by_the_end_of_its_identifier():
    key = ec.generate_private_key(ec.SECP256R1())
    identifier, public = key_id(pem_of(key))
    whole = SubjectKeyIdentifier.from_public_key(key.public_key()).digest
    assert identifier == whole[-4:] and public == key.public_key()


def test_keys_that_sign_no_files():
    with pytest.raises(ValueError, match="an RSA or ECC key"):
        key_id(pem_of(ed25519.Ed25519PrivateKey.generate()))
    with pytest.raises(ValueError, match="PEM"):
        key_id(b"junk")


def allowing(numbers: set[int]) -> Allowlist:
    digests = {n: hashlib.sha256(FILES[n]).digest() for n in numbers}
    return parse_allowlist(
        allowlist_text(AllowedFile("sha256", digests[n], FILES[n]) for n in numbers)
    )


@given(st.lists(st.integers(0, len(FILES) - 1), min_size=1), st.lists(NUMBERS, max_size=3))
def test_a_file_is_refused_where_no_list_of_several_has_it(measured, listed):
    entries = parse_ima(b"".join(entry(FILES[n]) for n in measured)).entries
    lists = [allowing(numbers) for numbers in listed]
    rules = ImaRules(tuple(a.digest for a in lists), 0, (), (), {}, (), padded_sha1=False)
    failures = ima_failures(entries, rules, lists, Alg.SHA256, {}, first=False, violations=0)
    strangers = [n for n in measured if not any(n in numbers for numbers in listed)]
    assert len(failures) == min(len(strangers), 21)
    told = [FILES[n].decode() in str(f) for n, f in zip(strangers, failures[:20], strict=False)]
    assert all(told)


@given(st.lists(st.booleans(), min_size=1, max_size=4))
def test_every_boot_aggregate_in_a_list_is_this_boots(true_ones):
    """Also one behind the first, and one that an allowlist has."""
    pcrs = {p: bytes([p]) * 32 for p in range(8)}
    over = b"".join(pcrs.values())
    listed = b"".join(
        entry(b"boot_aggregate", content=over if true else b"another boot") for true in true_ones
    )
    allowlist = parse_allowlist(
        allowlist_text(
            [AllowedFile("sha256", hashlib.sha256(b"another boot").digest(), b"boot_aggregate")]
        )
    )
    rules = ImaRules((allowlist.digest,), 0, (), (), {}, (), padded_sha1=False)
    entries = parse_ima(listed).entries
    failures = ima_failures(entries, rules, [allowlist], Alg.SHA256, pcrs, first=True, violations=0)
    assert len(failures) == true_ones.count(False)
