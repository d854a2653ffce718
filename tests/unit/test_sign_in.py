"""Sign-in: passwords, codes, recovery codes, enrolment, break-glass, security keys; wrong, replayed, late and guessed ones."""

import json
from dataclasses import replace
from datetime import timedelta

import pyotp
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st
from soft_fido2 import Fido2Authenticator

from framegate.access.verbs import parse_scoped
from framegate.errors import FramegateError, Reason
from framegate.identity.certificates import Purpose, from_ms, spki_of, verify_certificate
from framegate.wire import sha256
from framegate_controller.people.factors import FactorKey, hash_password, right_password, same_code, totp_step
from framegate_controller.people.operators import NewOperator, add_operator, reset_factors
from framegate_controller.people.signin import SignIn, found_operator, seal_break_glass
from framegate_controller.store.ports import EntryQuery
from framegate_controller.store.shared.ceremonies import MAX_CEREMONIES, InMemoryWaiting
from framegate_controller.store.shared.limits import ADDRESS_TRIES, NAME_TRIES, PAIR_TRIES, InMemorySignInLimits
from framegate_simulators.fixtures.access import PASSWORD, add_person, certificate_request

HERE, ELSEWHERE = "ipv4:10.0.0.1:5000", "ipv4:10.0.0.2:5000"
DAY_MS = 86_400_000


class Desk:
    """Sign-in over a store whose clock the test moves."""

    def __init__(self, bench) -> None:
        self.bench, self.keys, self.clock, self.store = bench, bench.keys, bench.clock, bench.store
        self.secrets: dict[str, str] = {}
        self.sign_in = self.again()

    def again(self) -> SignIn:
        """As a process that was just started."""
        made = SignIn(self.store, self.bench.fleet, InMemorySignInLimits(), InMemoryWaiting(MAX_CEREMONIES))
        made.restore()
        return made

    def person(self, name: str = "anna", *roles: str) -> str:
        self.secrets[name] = add_person(self.store, self.keys, name, *roles)
        return name

    def code(self, name: str = "anna", steps: int = 0) -> str:
        return pyotp.TOTP(self.secrets[name]).at(self.clock() // 1000 + 30 * steps)

    def login(self, name: str = "anna", password: str = PASSWORD, code: str | None = None, source: str = HERE, csr: bytes = b""):
        return self.sign_in.password(name, password, self.code(name) if code is None else code, csr or certificate_request(), source)

    def entries(self) -> list[bytes]:
        with self.store.reading() as tx:
            return [e.entry for e in tx.log.entries(EntryQuery(), first=0, below=tx.log.size(), most=10_000)]

    def events(self) -> list[str]:
        return [e["event"] for e in self.bench.events()]

    def operator(self, name: str):
        with self.store.reading() as tx:
            return tx.people.get(name)

    def session(self, key):
        with self.store.reading() as tx:
            return tx.people.session(sha256(spki_of(key)))

    def change(self, name: str, **members) -> None:
        with self.store.writing() as tx:
            tx.people.put(replace(tx.people.find(name), **members))


@pytest.fixture
def desk(bench):
    return Desk(bench)


def refused(call) -> Reason:
    with pytest.raises(FramegateError) as caught:
        call()
    return caught.value.reason


def test_password_and_code_give_a_certificate_of_a_shift_for_the_persons_own_key(desk):
    desk.person()
    key = ec.generate_private_key(ec.SECP256R1())
    made = desk.login(csr=certificate_request(key))
    verified = verify_certificate(made.certificate, Purpose.OPERATOR, desk.keys.intermediates, desk.keys.root.certificate, from_ms(desk.clock()))
    assert verified.common_name == "operator.anna" and verified.key == key.public_key()
    assert made.certificate.not_valid_after_utc - from_ms(desk.clock()) <= timedelta(hours=8)
    held = desk.session(key.public_key())
    assert held.operator == "anna" and held.expires_ms == desk.clock() + 8 * 3_600_000
    assert desk.events()[-1] != "sign-in-failed" and "signed-in" in desk.events()


@pytest.mark.parametrize(
    ("name", "password", "code"),
    [("anna", "wrong horse battery staple", None), ("anna", PASSWORD, "000000"), ("anna", "", None), ("anna", PASSWORD, ""), ("anna", PASSWORD, "x" * 4000), ("anna", PASSWORD, "١٢٣٤٥٦"),
     ("nobody", PASSWORD, "123456"), ("", PASSWORD, "123456"), ("anna\x1b[2J", PASSWORD, "123456"), ("anna", "x" * 100_000, None)],
)  # fmt: skip
def test_whatever_is_wrong_the_answer_is_the_same_and_is_recorded(desk, name, password, code):
    desk.person()
    answers = []
    for attempt in (lambda: desk.login(name, password, desk.code() if code is None else code), lambda: desk.login("anna", "never this one", "999999")):
        with pytest.raises(FramegateError) as caught:
            attempt()
        answers.append(str(caught.value))
    assert answers[0] == answers[1]
    assert desk.events().count("sign-in-failed") == 2
    assert all(b"\x1b" not in entry for entry in desk.entries())


def test_a_code_counts_once(desk):
    desk.person()
    code = desk.code()
    desk.login(code=code)
    assert refused(lambda: desk.login(code=code)) == Reason.SIGN_IN
    desk.clock.pass_s(30)
    assert refused(lambda: desk.login(code=code)) == Reason.SIGN_IN  # within the skew, and used
    desk.login()


def test_an_older_code_is_refused_once_a_newer_was_used(desk):
    desk.person()
    older = desk.code(steps=-1)
    desk.login(code=desk.code())
    assert refused(lambda: desk.login(code=older)) == Reason.SIGN_IN


@pytest.mark.parametrize(("steps", "good"), [(-2, False), (-1, True), (0, True), (1, True), (2, False), (-120, False), (120, False)])
def test_a_clock_may_be_off_by_one_step(desk, steps, good):
    desk.person()
    if good:
        assert desk.login(code=desk.code(steps=steps)).operator == "anna"
    else:
        assert refused(lambda: desk.login(code=desk.code(steps=steps))) == Reason.SIGN_IN


def test_no_password_is_hashed_while_the_store_is_locked(desk, monkeypatch):
    """The store has one writer: a tenth of a second of hashing under its lock would let strangers hold up every attestation."""
    desk.person()

    def slow(_stored: str, _password: str) -> bool:
        add_person(desk.store, desk.keys, "somebody-else", "viewer")  # another writer gets its turn
        return True

    monkeypatch.setattr("framegate_controller.people.signin.right_password", slow)
    assert desk.login().operator == "anna"


def test_a_password_that_changed_while_it_was_checked(desk, monkeypatch):
    desk.person()

    def meanwhile(_stored: str, _password: str) -> bool:
        desk.change("anna", factors=replace(desk.operator("anna").factors, password="another"))
        return True

    monkeypatch.setattr("framegate_controller.people.signin.right_password", meanwhile)
    assert refused(desk.login) == Reason.SIGN_IN


def test_a_failed_sign_in_spends_no_code(desk):
    desk.person()
    code = desk.code()
    assert refused(lambda: desk.login(password="wrong " * 3, code=code)) == Reason.SIGN_IN
    assert desk.login(code=code).operator == "anna"


def test_guessing_locks_the_address_and_not_the_person(desk):
    """A lock-out that cannot lock a plant out: whoever guesses waits, the person goes on from where they were."""
    desk.person()
    desk.login()
    desk.clock.pass_s(60)
    for _ in range(PAIR_TRIES):
        assert refused(lambda: desk.login(code="000000", source=ELSEWHERE)) == Reason.SIGN_IN
    assert refused(lambda: desk.login(source=ELSEWHERE)) == Reason.LOCKED  # even with the right factors
    assert desk.login().operator == "anna"
    desk.clock.pass_s(301)
    assert desk.login(source=ELSEWHERE).operator == "anna"


def test_guessing_from_everywhere_never_locks_out_where_the_person_signed_in_before(desk):
    desk.person()
    desk.login()
    desk.clock.pass_s(60)
    for number in range(NAME_TRIES + 10):
        refused(lambda number=number: desk.login(code="000000", source=f"ipv4:10.1.0.{number}:1"))
    assert refused(lambda: desk.login(source="ipv4:10.2.0.1:1")) == Reason.LOCKED
    assert desk.login().operator == "anna"


def test_one_address_that_guesses_at_everybody_stops_itself_alone(desk):
    desk.person()
    for number in range(ADDRESS_TRIES):
        assert refused(lambda number=number: desk.login(f"name-{number}", code="1", source=ELSEWHERE)) == Reason.SIGN_IN
    assert refused(lambda: desk.login("another", code="1", source=ELSEWHERE)) == Reason.LOCKED
    assert desk.login().operator == "anna"


def test_addresses_are_known_over_a_restart(desk):
    desk.person()
    desk.login()
    desk.clock.pass_s(60)
    again = desk.again()
    for number in range(NAME_TRIES):
        again.limits.failed("anna", f"ipv4:10.1.0.{number}:1", desk.clock())
    again.limits.check("anna", HERE, desk.clock())
    assert refused(lambda: again.limits.check("anna", ELSEWHERE, desk.clock())) == Reason.LOCKED


@given(st.lists(st.tuples(st.sampled_from(["a", "b"]), st.sampled_from(["x", "y", "z"]), st.integers(0, 400_000), st.booleans()), max_size=80))
def test_limits_never_hold_a_known_pair_for_what_others_do(steps):
    """Whatever strangers do from other addresses, (a, home) is open: its own failures are zero."""
    limits, now = InMemorySignInLimits(), 0
    limits.know("a", "home")
    for name, address, later, good in steps:
        now += later
        (limits.good if good else limits.failed)(name, address, now)
        limits.check("a", "home", now)


@given(st.integers(1, 12), st.integers(0, 299_000))
def test_limits_open_again_after_their_window(failures, gap):
    limits = InMemorySignInLimits()
    for at in range(failures):
        limits.failed("a", "x", at)
    if failures >= PAIR_TRIES and gap < 299_000 - failures:
        assert refused(lambda: limits.check("a", "x", failures + gap)) == Reason.LOCKED
    limits.check("a", "x", failures + 300_001)


def test_recovery_codes_count_once_each_and_with_the_password_alone(desk):
    with desk.store.writing() as tx:
        _, codes = found_operator(tx, desk.keys, "anna", PASSWORD)
    assert len(set(codes)) == 10
    assert refused(lambda: desk.login(password="not the password", code=codes[0])) == Reason.SIGN_IN
    assert desk.login(code=codes[0].upper().replace("-", " ")).operator == "anna"
    assert refused(lambda: desk.login(code=codes[0])) == Reason.SIGN_IN
    assert desk.login(code=codes[1]).operator == "anna"
    assert codes[0] not in "".join(desk.operator("anna").factors.recovery)


def invited(desk, name: str = "berta", *roles: str) -> str:
    new = NewOperator(name=name, roles=tuple(parse_scoped(r) for r in roles or ("viewer",)), vouched=True)
    with desk.store.writing() as tx:
        return add_operator(tx, new, by="host")[1]


def enrolled_totp(desk, code: str, name: str = "berta") -> pyotp.TOTP:
    made = pyotp.parse_uri(desk.sign_in.enrol_begin(name, code, HERE))
    assert isinstance(made, pyotp.TOTP) and made.issuer == "Framegate plant"
    return made


def test_enrolment_sets_factors_once(desk):
    code = invited(desk)
    totp = enrolled_totp(desk, code)
    shown = totp.at(desk.clock() // 1000)
    made = desk.sign_in.enrol_complete("berta", code, PASSWORD, shown, certificate_request(), HERE)
    assert made.operator == "berta" and len(made.recovery_codes) == 10
    assert refused(lambda: desk.sign_in.enrol_complete("berta", code, "another password", shown, certificate_request(), HERE)) == Reason.SIGN_IN
    assert refused(lambda: desk.sign_in.enrol_begin("berta", code, HERE)) == Reason.SIGN_IN
    desk.secrets["berta"] = totp.secret
    assert refused(lambda: desk.login("berta", code=shown)) == Reason.SIGN_IN  # the code of the enrolment is used
    desk.clock.pass_s(31)
    assert desk.login("berta").operator == "berta"


@pytest.mark.parametrize("how", ["wrong code", "late", "wrong totp", "short password", "disabled", "not begun", "another's code"])
def test_enrolment_that_is_wrong_leaves_nobody_enrolled(desk, how):
    code = invited(desk)
    other = invited(desk, "carl")
    totp = enrolled_totp(desk, code) if how != "not begun" else pyotp.TOTP(pyotp.random_base32())
    shown, password, used = totp.at(desk.clock() // 1000), PASSWORD, code
    if how == "wrong code":
        used = code[:-1] + ("a" if code[-1] != "a" else "b")
    elif how == "late":
        desk.clock.pass_s(86_401)
        shown = totp.at(desk.clock() // 1000)
    elif how == "wrong totp":
        shown = "000000"
    elif how == "short password":
        password = "short"
    elif how == "another's code":
        used = other
    elif how == "disabled":
        desk.change("berta", enabled=False)
    assert refused(lambda: desk.sign_in.enrol_complete("berta", used, password, shown, certificate_request(), HERE)) in {Reason.SIGN_IN, Reason.USAGE}
    assert not desk.operator("berta").factors.password


def test_somebody_who_has_not_enrolled_cannot_sign_in_with_anything(desk):
    code = invited(desk)
    desk.secrets["berta"] = pyotp.random_base32()
    for password, factor in (("", ""), (code, ""), (code, code), ("", code)):
        assert refused(lambda password=password, factor=factor: desk.login("berta", password, factor)) in {Reason.SIGN_IN, Reason.LOCKED}


def test_reset_factors_end_sessions_and_forget_everything(desk):
    desk.person()
    made = desk.login()
    with desk.store.writing() as tx:
        reset_factors(tx, tx.people.find("anna"), by="operator.otto")
    assert desk.session(made.certificate.public_key()).ended_ms
    desk.clock.pass_s(60)
    assert refused(desk.login) == Reason.SIGN_IN


def test_set_up_ends_with_the_second_persons_first_sign_in(desk):
    """No standing admin after set-up: the founder is admin until somebody else can sign in, and then decisions take two."""
    with desk.store.writing() as tx:
        found_operator(tx, desk.keys, "anna", PASSWORD)
    desk.secrets["anna"] = FactorKey(desk.keys.factor_key).open(desk.operator("anna").factors.totp, "anna")
    first = desk.login()
    assert "admin" in first.roles and any("quorum 1" in n for n in first.notices)
    code = invited(desk)
    totp = enrolled_totp(desk, code)
    second = desk.sign_in.enrol_complete("berta", code, PASSWORD, totp.at(desk.clock() // 1000), certificate_request(), HERE)
    assert not any("quorum 1" in n for n in second.notices)
    desk.clock.pass_s(31)
    assert desk.login().roles == ("engineer", "security")
    assert {"quorum-set", "set-up-ended"} <= set(desk.events())


def test_break_glass_opens_once_for_an_hour_and_everybody_is_told(desk):
    desk.person("anna", "viewer")
    desk.person("berta", "viewer")
    with desk.store.writing() as tx:
        code = seal_break_glass(tx, by="host")
    assert refused(lambda: desk.sign_in.break_glass("anna", code[:-1] + "!", certificate_request(), HERE)) == Reason.SIGN_IN
    made = desk.sign_in.break_glass("anna", code, certificate_request(), HERE)
    assert {"admin", "security"} <= set(made.roles) and made.expires_ms == desk.clock() + 3_600_000
    assert refused(lambda: desk.sign_in.break_glass("anna", code, certificate_request(), HERE)) == Reason.SIGN_IN
    told = desk.login("berta").notices
    assert any("BREAK-GLASS was used by anna" in n for n in told)
    assert "break-glass-used" in desk.events()
    assert "admin" not in desk.login("anna").roles  # the next ordinary session has nothing of it


def test_break_glass_for_nobody_or_without_a_seal(desk):
    desk.person()
    assert refused(lambda: desk.sign_in.break_glass("anna", "", certificate_request(), HERE)) == Reason.SIGN_IN
    with desk.store.writing() as tx:
        code = seal_break_glass(tx, by="host")
    desk.change("anna", enabled=False)
    for name in ("anna", "nobody"):
        assert refused(lambda name=name: desk.sign_in.break_glass(name, code, certificate_request(), HERE)) == Reason.SIGN_IN


def test_break_glass_cannot_be_guessed_without_being_slowed(desk):
    desk.person()
    for _ in range(PAIR_TRIES):
        assert refused(lambda: desk.sign_in.break_glass("anna", "guess", certificate_request(), HERE)) == Reason.SIGN_IN
    assert refused(lambda: desk.sign_in.break_glass("anna", "guess", certificate_request(), HERE)) == Reason.LOCKED


@pytest.mark.parametrize("csr", [b"", b"x", b"\x30\x82" + bytes(300)])
def test_requests_for_a_certificate_that_are_none(desk, csr):
    desk.person()
    with pytest.raises(FramegateError):
        desk.sign_in.password("anna", PASSWORD, desk.code(), csr, HERE)
    assert desk.login().operator == "anna"  # and no code was spent


def test_keys_that_are_weak_or_used_before(desk):
    desk.person()
    p384 = ec.generate_private_key(ec.SECP384R1())
    with pytest.raises(FramegateError):
        desk.login(csr=certificate_request(p384))
    key = ec.generate_private_key(ec.SECP256R1())
    desk.login(csr=certificate_request(key))
    desk.clock.pass_s(31)
    assert refused(lambda: desk.login(csr=certificate_request(key))) == Reason.CONFLICT


def test_disabled_people_stay_out_with_right_factors(desk):
    desk.person()
    desk.change("anna", enabled=False)
    assert refused(desk.login) == Reason.SIGN_IN


# --- security keys ---


class Key:
    """A software authenticator (soft-fido2) that answers our options."""

    def __init__(self, **how) -> None:
        self.device = Fido2Authenticator(counter=1, **how)

    def create(self, options: str, **how) -> str:
        return json.dumps(self.device.credential_create(json.loads(options)["publicKey"] | how.pop("changed", {}), **how))

    def get(self, options: str, **how) -> str:
        return json.dumps(self.device.credential_request(json.loads(options)["publicKey"] | how.pop("changed", {}), **how))


def registered(desk, name: str = "anna", key: Key | None = None) -> Key:
    made = key or Key()
    with desk.store.writing() as tx:
        challenge = desk.sign_in.security_keys.register(tx, name)
        desk.sign_in.security_keys.registered(tx, name, challenge.state, made.create(challenge.options), "blue key")
    return made


def with_key(desk, key: Key, name: str = "anna", **how):
    challenge = desk.sign_in.key_begin(name)
    return desk.sign_in.key_complete(challenge.state, key.get(challenge.options, **how), certificate_request(), HERE)


def test_a_security_key_alone_signs_its_person_in(desk):
    desk.person()
    key = registered(desk)
    made = with_key(desk, key)
    assert made.operator == "anna"
    assert desk.session(made.certificate.public_key()).method == "security-key"


def test_an_answer_counts_once_and_for_its_own_challenge(desk):
    desk.person()
    key = registered(desk)
    first, second = desk.sign_in.key_begin("anna"), desk.sign_in.key_begin("anna")
    answer = key.get(first.options)
    assert refused(lambda: desk.sign_in.key_complete(second.state, answer, certificate_request(), HERE)) == Reason.SIGN_IN
    assert desk.sign_in.key_complete(first.state, answer, certificate_request(), HERE).operator == "anna"
    assert refused(lambda: desk.sign_in.key_complete(first.state, answer, certificate_request(), HERE)) == Reason.SIGN_IN


@pytest.mark.parametrize(
    "how", [{"uv": False}, {"changed": {"origin": "https://evil.example"}}, {"changed": {"rpId": "evil.framegate"}}, {"changed": {"challenge": "A" * 43}}],
    ids=["user not verified", "another origin", "another fleet", "another challenge"],
)  # fmt: skip
def test_answers_that_a_key_should_not_have_given(desk, how):
    desk.person()
    key = registered(desk)
    assert refused(lambda: with_key(desk, key, **how)) == Reason.SIGN_IN


def test_late_answers_strangers_keys_and_other_peoples_keys(desk):
    desk.person()
    desk.person("berta")
    mine, theirs = registered(desk), registered(desk, "berta")
    assert refused(lambda: with_key(desk, Key())) == Reason.SIGN_IN
    assert refused(lambda: with_key(desk, theirs)) == Reason.SIGN_IN
    challenge = desk.sign_in.key_begin("anna")
    desk.clock.pass_s(121)
    assert refused(lambda: desk.sign_in.key_complete(challenge.state, mine.get(challenge.options), certificate_request(), HERE)) == Reason.SIGN_IN
    assert with_key(desk, mine).operator == "anna"


def test_a_copied_key_shows_by_its_counter(desk):
    desk.person()
    key = registered(desk)
    with_key(desk, key)
    with_key(desk, key)
    key.device.counter = 2  # as a copy made before would have it
    assert refused(lambda: with_key(desk, key)) == Reason.SIGN_IN


def test_nobody_learns_from_a_challenge_who_has_a_key(desk):
    desk.person()
    shapes = [json.loads(desk.sign_in.key_begin(name).options)["publicKey"] for name in ("anna", "nobody", "nobody")]
    assert [len(s["allowCredentials"]) for s in shapes] == [1, 1, 1] and shapes[1]["allowCredentials"] == shapes[2]["allowCredentials"]


@pytest.mark.parametrize("answer", ["", "{}", "[]", "null", '{"id": "x"}', "[" * 50_000, "x" * 70_000, '{"id": 5, "rawId": null, "response": {}, "type": "public-key"}'])
def test_answers_that_are_no_webauthn(desk, answer):
    desk.person()
    registered(desk)
    state = desk.sign_in.key_begin("anna").state
    with pytest.raises(FramegateError):
        desk.sign_in.key_complete(state, answer, certificate_request(), HERE)


def test_registration_by_somebody_else_twice_or_without_a_verified_user(desk):
    desk.person()
    desk.person("berta")
    keys = desk.sign_in.security_keys
    with desk.store.writing() as tx:
        challenge = keys.register(tx, "anna")
        assert refused(lambda: keys.registered(tx, "berta", challenge.state, Key().create(challenge.options), "k")) == Reason.SIGN_IN
        challenge = keys.register(tx, "anna")
        assert refused(lambda: keys.registered(tx, "anna", challenge.state, Key().create(challenge.options, uv=False), "k")) == Reason.SIGN_IN
    key = registered(desk)
    with desk.store.writing() as tx:
        challenge = keys.register(tx, "berta")
        assert refused(lambda: keys.registered(tx, "berta", challenge.state, key.create(challenge.options), "k")) == Reason.CONFLICT
        assert [len(tx.people.keys(name)) for name in ("anna", "berta")] == [1, 0]


# --- what the store holds ---


def test_n87_the_store_holds_no_password_no_secret_and_no_code(desk, tmp_path):
    with desk.store.writing() as tx:
        uri, codes = found_operator(tx, desk.keys, "anna", PASSWORD)
        sealed = seal_break_glass(tx, by="host")
    secret = pyotp.parse_uri(uri).secret
    raw = b"".join(p.read_bytes() for p in tmp_path.glob("registry.db*"))
    for text in (PASSWORD, secret, sealed, sealed.replace("-", ""), *codes, *(c.replace("-", "") for c in codes)):
        assert text.encode() not in raw
    assert b"$argon2id$" in raw


def test_a_second_factor_is_sealed_to_its_person(desk):
    factor = FactorKey(desk.keys.factor_key)
    sealed = factor.seal("SECRET", "anna")
    assert factor.open(sealed, "anna") == "SECRET"
    for changed, name in ((sealed, "berta"), (sealed[:-1] + bytes([sealed[-1] ^ 1]), "anna"), (b"", "anna"), (bytes(40), "anna")):
        assert refused(lambda changed=changed, name=name: factor.open(changed, name)) == Reason.SIGN_IN
    assert refused(lambda: FactorKey(bytes(32)).open(sealed, "anna")) == Reason.SIGN_IN


@pytest.mark.parametrize("password", ["", "short", "x" * 11, "x" * 1025])
def test_passwords_that_are_too_short_or_too_long(password):
    assert refused(lambda: hash_password(password)) == Reason.USAGE


@pytest.mark.parametrize("stored", ["", "junk", "$argon2id$v=19$m=8,t=1,p=1$AAAAAAAAAAA$AAAA"])
def test_stored_hashes_that_are_none(stored):
    assert not right_password(stored, PASSWORD)


@given(st.text(max_size=20))
def test_codes_that_are_anything(text):
    assert totp_step("JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP", text, 0, 1_790_000_000_000) == 0 or len(text) == 6
    assert not same_code("", text)


async def test_n86_a_flood_of_sign_ins_waits_by_itself_and_delays_nothing_else():
    import asyncio
    import threading

    from framegate_controller.rpc.signin import MAX_WAITING, SignInService

    service, gate = SignInService(None, None, ""), threading.Event()
    waiting = [asyncio.create_task(service._work(gate.wait)) for _ in range(MAX_WAITING)]
    await asyncio.sleep(0)
    with pytest.raises(FramegateError) as caught:
        await service._work(lambda: 1)
    assert caught.value.reason == Reason.TOO_MANY_TRIES
    assert await asyncio.wait_for(asyncio.to_thread(lambda: 5), 5) == 5  # everybody else's threads are free
    gate.set()
    assert all(await asyncio.gather(*waiting))
    assert await service._work(lambda: 1) == 1
