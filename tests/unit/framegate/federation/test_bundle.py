"""Bundles of other sites: what is one, and what is none."""

import base64
import json

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from framegate.errors import Malformed, Reason
from framegate.federation.bundle import (
    MAX_BUNDLE_BYTES,
    MAX_REFRESH_S,
    MIN_REFRESH_S,
    bundle_of,
    parse_bundle,
)
from support.other_sites import bundle, edited
from support.other_sites import forged_root as root


def refused(raw: bytes) -> str:
    with pytest.raises(Malformed) as caught:
        parse_bundle(raw)
    assert caught.value.reason in {Reason.SITE_BUNDLE, Reason.TOO_LARGE}
    return str(caught.value)


def jwk(keys, **members) -> dict:
    (key,) = json.loads(bundle(keys))["keys"]
    return key | members


def of(certificate: x509.Certificate, keys) -> dict:
    der = base64.b64encode(certificate.public_bytes(Encoding.DER)).decode()
    return jwk(keys, x5c=[der])


def test_what_a_fleet_shows_is_read_back_whole(keys):
    shown = parse_bundle(bundle(keys))
    assert (shown.fleet, shown.trust_domain) == ("plant", "plant.framegate")
    assert shown.roots == (keys.root.der,)
    assert shown.sequence == int(keys.root.certificate.not_valid_before_utc.timestamp())
    assert shown.endpoint_id == "spiffe://plant.framegate/controller"


def test_the_form_is_that_of_spiffe(keys):
    body = json.loads(bundle(keys))
    (key,) = body["keys"]
    assert set(body) == {"keys", "spiffe_sequence", "spiffe_refresh_hint"}
    assert (key["kty"], key["crv"], key["use"], len(key["x5c"])) == ("EC", "P-256", "x509-svid", 1)
    assert base64.b64decode(key["x5c"][0]) == keys.root.der


def test_keys_of_other_uses_are_left_out(keys):
    others = [{"use": "jwt-svid", "kty": "RSA", "kid": "a"}, {"use": "new"}, {}]
    shown = parse_bundle(edited(keys, keys=[*others, jwk(keys)]))
    assert shown.roots == (keys.root.der,)


def test_members_that_nobody_knows_do_no_harm(keys):
    assert parse_bundle(edited(keys, later=1)).roots == (keys.root.der,)


def test_two_roots_of_one_fleet_are_two(keys, north):
    second = root("north")
    shown = parse_bundle(bundle_of([north.root.certificate, second]))
    assert len(shown.roots) == len(shown.keys) == 2
    assert shown.sequence == int(second.not_valid_before_utc.timestamp())


@pytest.mark.parametrize(
    ("hint", "kept"), [(0, MIN_REFRESH_S), (10**9, MAX_REFRESH_S), (77, 77)], ids=str
)
def test_how_often_it_wants_to_be_asked_is_kept_within_bounds(keys, hint, kept):
    assert parse_bundle(edited(keys, spiffe_refresh_hint=hint)).refresh_s == kept


@pytest.mark.parametrize("sequence", [None, -1, 1.0, True, "1", 2**53], ids=repr)
def test_without_a_sequence_nobody_could_tell_older_from_newer(keys, sequence):
    assert "spiffe_sequence" in refused(edited(keys, spiffe_sequence=sequence))


def test_a_sequence_that_is_not_there(keys):
    body = json.loads(bundle(keys))
    del body["spiffe_sequence"]
    assert "spiffe_sequence" in refused(json.dumps(body).encode())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("kty", "RSA"),
        ("crv", "P-384"),
        ("x", "AA"),
        ("y", None),
        ("x5c", []),
        ("x5c", "text"),
        ("x5c", ["!"]),
        ("x5c", ["AAAA"]),
        ("x5c", [7]),
    ],
    ids=str,
)
def test_a_key_that_is_not_its_certificates(keys, name, value):
    refused(edited(keys, keys=[jwk(keys, **{name: value})]))


def test_two_certificates_in_one_key(keys):
    (der,) = jwk(keys)["x5c"]
    assert "exactly one" in refused(edited(keys, keys=[jwk(keys, x5c=[der, der])]))


def test_another_base64_of_the_same_bytes(keys):
    certificates = (root() for _ in range(200))
    text = next(t for c in certificates if (t := of(c, keys)["x5c"][0]).endswith("="))
    plain = text.rstrip("=")
    loose = plain[:-1] + chr(ord(plain[-1]) + 1) + "=" * (len(text) - len(plain))
    assert base64.b64decode(loose) == base64.b64decode(text)
    refused(edited(keys, keys=[jwk(keys, x5c=[loose])]))


def test_one_key_twice(keys):
    assert "different" in refused(edited(keys, keys=[jwk(keys), jwk(keys)]))


@pytest.mark.parametrize("listed", [[], [{"use": "jwt-svid"}], None, {}, ["text"], [[]]], ids=repr)
def test_no_key_that_vouches_for_a_fleet(keys, listed):
    refused(edited(keys, keys=listed))


def test_more_roots_than_a_fleet_has(keys):
    many = [of(root(), keys) for _ in range(9)]
    refused(edited(keys, keys=many))
    refused(edited(keys, keys=[{}] * 33))


def test_roots_of_two_fleets(keys, north):
    raw = bundle_of([keys.root.certificate, north.root.certificate])
    assert "one fleet" in refused(raw)


def test_what_is_no_root(keys):
    stranger = ec.generate_private_key(ec.SECP256R1())
    for certificate in (
        root(ca=False),
        root(signer=stranger),
        root(organizations=[]),
        root(organizations=["a", "b"]),
        root(organizations=["Not A Name"]),
        root(key=rsa.generate_private_key(65537, 2048)),
        root(key=ec.generate_private_key(ec.SECP384R1())),
        keys.issuing["server-ca"].certificate,
    ):
        refused(edited(keys, keys=[of(certificate, keys)]))


def test_one_that_is_too_large(keys):
    refused(b" " * (MAX_BUNDLE_BYTES + 1))


@given(st.binary(max_size=200))
def test_any_bytes_raise_our_error_alone(raw):
    refused(raw)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["keys", "kty", "crv", "use", "x", "y", "x5c", "spiffe_sequence"]),
            inner | st.sampled_from(["EC", "P-256", "x509-svid"]),
            max_size=6,
        )
    ),
    max_leaves=12,
)


@given(_JSON)
def test_any_json_raises_our_error_alone(body):
    refused(json.dumps(body).encode())


@given(at=st.integers(min_value=0), to=st.integers(min_value=0, max_value=255))
def test_one_byte_that_changed_is_another_bundle_or_none(keys, at, to):
    raw = bytearray(bundle(keys))
    raw[at % len(raw)] = to
    try:
        shown = parse_bundle(bytes(raw))
    except Malformed:
        return
    assert shown.roots == (keys.root.der,)
