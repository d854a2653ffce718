"""Security keys: registration, sign-in, and answers that are none."""

import json

import pytest

from framegate.errors import FramegateError, Reason
from framegate_controller.people.operators import reset_factors
from framegate_simulators.fixtures.access import certificate_request
from support.front_desk import HERE
from support.refusals import refused
from support.security_key import SoftSecurityKey


def registered(
    front_desk, name: str = "anna", key: SoftSecurityKey | None = None
) -> SoftSecurityKey:
    security_key = key or SoftSecurityKey()
    with front_desk.store.writing() as tx:
        challenge = front_desk.sign_in.security_keys.register(tx, name)
        front_desk.sign_in.security_keys.registered(
            tx, name, challenge.state, security_key.create(challenge.options), "blue key"
        )
    return security_key


def with_key(front_desk, key: SoftSecurityKey, name: str = "anna", **how):
    challenge = front_desk.sign_in.key_begin(name)
    return front_desk.sign_in.key_complete(
        challenge.state, key.get(challenge.options, **how), certificate_request(), HERE
    )


def test_a_security_key_alone_signs_its_person_in(front_desk):
    front_desk.person()
    key = registered(front_desk)
    signed_in = with_key(front_desk, key)
    assert signed_in.operator == "anna"
    assert front_desk.session(signed_in.certificate.public_key()).method == "security-key"


def test_an_answer_counts_once_and_for_its_own_challenge(front_desk):
    front_desk.person()
    key = registered(front_desk)
    first, second = front_desk.sign_in.key_begin("anna"), front_desk.sign_in.key_begin("anna")
    answer = key.get(first.options)
    assert (
        refused(
            lambda: front_desk.sign_in.key_complete(
                second.state, answer, certificate_request(), HERE
            )
        )
        == Reason.SIGN_IN
    )
    assert (
        front_desk.sign_in.key_complete(first.state, answer, certificate_request(), HERE).operator
        == "anna"
    )
    assert (
        refused(
            lambda: front_desk.sign_in.key_complete(
                first.state, answer, certificate_request(), HERE
            )
        )
        == Reason.SIGN_IN
    )


@pytest.mark.parametrize(
    "how",
    [
        {"uv": False},
        {"changed": {"origin": "https://evil.example"}},
        {"changed": {"rpId": "evil.framegate"}},
        {"changed": {"challenge": "A" * 43}},
    ],
    ids=["user not verified", "another origin", "another fleet", "another challenge"],
)
def test_answers_that_a_key_should_not_have_given(front_desk, how):
    front_desk.person()
    key = registered(front_desk)
    assert refused(lambda: with_key(front_desk, key, **how)) == Reason.SIGN_IN


def test_late_answers_strangers_keys_and_other_peoples_keys(front_desk):
    front_desk.person()
    front_desk.person("berta")
    mine, theirs = registered(front_desk), registered(front_desk, "berta")
    assert refused(lambda: with_key(front_desk, SoftSecurityKey())) == Reason.SIGN_IN
    assert refused(lambda: with_key(front_desk, theirs)) == Reason.SIGN_IN
    challenge = front_desk.sign_in.key_begin("anna")
    front_desk.clock.pass_s(121)
    assert (
        refused(
            lambda: front_desk.sign_in.key_complete(
                challenge.state, mine.get(challenge.options), certificate_request(), HERE
            )
        )
        == Reason.SIGN_IN
    )
    assert with_key(front_desk, mine).operator == "anna"


def test_a_copied_key_shows_by_its_counter(front_desk):
    front_desk.person()
    key = registered(front_desk)
    with_key(front_desk, key)
    with_key(front_desk, key)
    key.device.counter = 2  # as a copy made before would have it
    assert refused(lambda: with_key(front_desk, key)) == Reason.SIGN_IN


def test_nobody_learns_from_a_challenge_who_has_a_key(front_desk):
    front_desk.person()
    shapes = [
        json.loads(front_desk.sign_in.key_begin(name).options)["publicKey"]
        for name in ("anna", "nobody", "nobody")
    ]
    assert [len(s["allowCredentials"]) for s in shapes] == [1, 1, 1] and shapes[1][
        "allowCredentials"
    ] == shapes[2]["allowCredentials"]


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "{}",
        "[]",
        "null",
        '{"id": "x"}',
        "[" * 50_000,
        "x" * 70_000,
        '{"id": 5, "rawId": null, "response": {}, "type": "public-key"}',
    ],
)
def test_answers_that_are_no_webauthn(front_desk, answer):
    front_desk.person()
    registered(front_desk)
    state = front_desk.sign_in.key_begin("anna").state
    with pytest.raises(FramegateError):
        front_desk.sign_in.key_complete(state, answer, certificate_request(), HERE)


def test_registration_by_somebody_else_twice_or_without_a_verified_user(front_desk):
    front_desk.person()
    front_desk.person("berta")
    keys = front_desk.sign_in.security_keys
    with front_desk.store.writing() as tx:
        challenge = keys.register(tx, "anna")
        assert (
            refused(
                lambda: keys.registered(
                    tx, "berta", challenge.state, SoftSecurityKey().create(challenge.options), "k"
                )
            )
            == Reason.SIGN_IN
        )
        challenge = keys.register(tx, "anna")
        assert (
            refused(
                lambda: keys.registered(
                    tx,
                    "anna",
                    challenge.state,
                    SoftSecurityKey().create(challenge.options, uv=False),
                    "k",
                )
            )
            == Reason.SIGN_IN
        )
    key = registered(front_desk)
    with front_desk.store.writing() as tx:
        challenge = keys.register(tx, "berta")
        assert (
            refused(
                lambda: keys.registered(
                    tx, "berta", challenge.state, key.create(challenge.options), "k"
                )
            )
            == Reason.CONFLICT
        )
        assert [len(tx.people.keys(name)) for name in ("anna", "berta")] == [1, 0]


def test_n139_a_key_that_was_lost_or_copied_opens_nothing_after_a_reset(front_desk):
    front_desk.person()
    key = registered(front_desk)
    assert with_key(front_desk, key).operator == "anna"
    with front_desk.store.writing() as tx:
        reset_factors(tx, tx.people.find("anna"), by="operator.otto")
        assert not tx.people.keys("anna")
    assert refused(lambda: with_key(front_desk, key)) == Reason.SIGN_IN
