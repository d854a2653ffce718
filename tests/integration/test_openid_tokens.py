"""ID tokens that are not for us, by another key, without one; how fresh a factor is."""

import json
import time

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from framegate.errors import Reason
from framegate_controller.people.oidc import authenticated_ms
from support.openid import provider_of
from support.refusals import refused


def claims(provider, **changed) -> dict:
    now = int(time.time())
    return {
        k: v
        for k, v in {
            "iss": provider["issuer"],
            "aud": "framegate",
            "sub": "1",
            "iat": now,
            "exp": now + 60,
            **changed,
        }.items()
        if v is not None
    }


@pytest.mark.parametrize(
    "changed",
    [
        {"iss": "http://127.0.0.1:1/o"},
        {"aud": "another"},
        {"exp": 1},
        {"exp": None},
        {"sub": None},
        {"iat": 2**40},
    ],
    ids=["issuer", "audience", "old", "endless", "nobody", "future"],
)
def test_id_tokens_that_are_not_for_us(provider, changed, monkeypatch):
    """Signed by the provider's own key, as far as the verifier can tell; each claim alone is
    wrong.
    """
    ours, key = provider_of(provider["issuer"]), rsa.generate_private_key(65537, 2048)
    public = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key()))
    answers(monkeypatch, provider, {"keys": [public | {"kid": "k"}]})
    good = jwt.encode(claims(provider), key, algorithm="RS256", headers={"kid": "k"})
    assert ours._verified(good)["sub"] == "1"
    assert (
        refused(
            lambda: ours._verified(
                jwt.encode(
                    claims(provider, **changed), key, algorithm="RS256", headers={"kid": "k"}
                )
            )
        )
        == Reason.SIGN_IN
    )


def answers(monkeypatch, provider, jwks) -> None:
    class Answer:
        def __init__(self, body):
            self.body = body

        def json(self):
            return self.body

    base = {"issuer": provider["issuer"], "jwks_uri": "keys"}
    monkeypatch.setattr(
        "framegate_controller.people.oidc.requests.Session.get",
        lambda _session, url, **_: Answer(jwks if url == "keys" else base),
    )


def test_id_tokens_by_another_key_without_one_or_with_the_public_key_as_a_secret(
    provider, monkeypatch
):
    ours, key, other = (
        provider_of(provider["issuer"]),
        *(rsa.generate_private_key(65537, 2048) for _ in range(2)),
    )
    public = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key()))
    answers(monkeypatch, provider, {"keys": [public | {"kid": "k"}]})
    shared = jwt.encode(
        claims(provider),
        "secret of sixteen and more bytes, as HMAC wants",
        algorithm="HS256",
        headers={"kid": "k"},
    )
    none = jwt.encode(claims(provider), None, algorithm="none", headers={"kid": "k"})
    for token in (
        jwt.encode(claims(provider), other, algorithm="RS256", headers={"kid": "k"}),
        shared,
        none,
        "",
        "a.b.c",
        "a" * 10_000,
    ):
        assert refused(lambda token=token: ours._verified(token)) == Reason.SIGN_IN


@pytest.mark.parametrize(
    ("said", "expected"),
    [(None, 5_000), (3, 3_000), (9, 5_000), (-1, 5_000), ("3", 5_000), (2.5, 2_500)],
)
def test_a_factor_is_as_fresh_as_the_provider_says_and_never_fresher(said, expected):
    assert authenticated_ms({"auth_time": said}, 5_000) == expected


@pytest.mark.parametrize("made_for", ["this sign-in", "another", "none"])
def test_an_id_token_is_made_for_the_sign_in_that_was_begun_here(monkeypatch, made_for):
    """One of the same provider, for the same client, alive, that somebody was given elsewhere."""
    issuer = {"issuer": "http://127.0.0.1:1/o"}
    ours, key = provider_of(issuer["issuer"]), rsa.generate_private_key(65537, 2048)
    public = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key()))
    answers(monkeypatch, issuer, {"keys": [public | {"kid": "k"}]})
    ours._metadata = {"authorization_endpoint": "http://127.0.0.1:1/a", "jwks_uri": "keys"}
    flow = ours.begin("code", "http://127.0.0.1:9/", "p", 0)
    nonce = {"this sign-in": ours._flows.get(flow.state).nonce, "another": "n", "none": None}
    said = claims(issuer, nonce=nonce[made_for])
    token = jwt.encode(said, key, algorithm="RS256", headers={"kid": "k"})
    monkeypatch.setattr(ours, "_fetch", lambda _flow, _answer: {"id_token": token})
    if made_for == "this sign-in":
        assert ours.complete(flow.state, "code", "p", 1).subject == "1"
    else:
        assert refused(lambda: ours.complete(flow.state, "code", "p", 1)) == Reason.SIGN_IN
