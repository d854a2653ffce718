"""Signing in without a network."""

from dataclasses import replace

import pyotp
import pytest
from argon2 import PasswordHasher

from framegate.identity.certificates import spki_of
from framegate.wire import sha256
from framegate_controller.people import factors, signin
from framegate_controller.people.signin import SignIn
from framegate_controller.store.ports import EntryQuery
from framegate_controller.store.shared.ceremonies import MAX_CEREMONIES, InMemoryWaiting
from framegate_controller.store.shared.limits import InMemorySignInLimits
from framegate_simulators.fixtures import access
from framegate_simulators.fixtures.access import PASSWORD, add_person, certificate_request

HERE, ELSEWHERE = "ipv4:10.0.0.1:5000", "ipv4:10.0.0.2:5000"
MADE_UP = frozenset({"123456", "999999", *(f"{number:06d}" for number in range(20))})
"""Codes that tests show as wrong ones: of some secrets, for a while, they are right."""
STEPS = range(-125, 126)
"""Of 30 s, from when a secret is drawn: an hour before and after it."""


def drawn_secret(now_ms: int) -> str:
    """A TOTP secret of which no code around `now_ms` is made up, or that of another time."""
    while True:
        totp = pyotp.TOTP(pyotp.random_base32())
        codes = {totp.at(now_ms // 1000 + 30 * step) for step in STEPS}
        if len(codes) == len(STEPS) and codes.isdisjoint(MADE_UP):
            return totp.secret


class FrontDesk:
    """Sign-in over a store whose clock the test moves."""

    def __init__(self, bench) -> None:
        self.bench, self.keys, self.clock, self.store = bench, bench.keys, bench.clock, bench.store
        self.secrets: dict[str, str] = {}
        self.sign_in = self.again()

    def again(self) -> SignIn:
        """As a process that was just started."""
        sign_in = SignIn(
            self.store, self.bench.fleet, InMemorySignInLimits(), InMemoryWaiting(MAX_CEREMONIES)
        )
        sign_in.restore()
        return sign_in

    def person(self, name: str = "anna", *roles: str) -> str:
        self.secrets[name] = add_person(self.store, self.keys, name, *roles)
        return name

    def code(self, name: str = "anna", steps: int = 0) -> str:
        return pyotp.TOTP(self.secrets[name]).at(self.clock() // 1000 + 30 * steps)

    def login(
        self,
        name: str = "anna",
        password: str = PASSWORD,
        code: str | None = None,
        source: str = HERE,
        csr: bytes = b"",
    ):
        return self.sign_in.password(
            name,
            password,
            self.code(name) if code is None else code,
            csr or certificate_request(),
            source,
        )

    def entries(self) -> list[bytes]:
        with self.store.reading() as tx:
            return [
                e.entry
                for e in tx.log.entries(EntryQuery(), first=0, below=tx.log.size(), most=10_000)
            ]

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
def drawn_secrets(bench, monkeypatch):
    """Secrets with which what tests call a wrong code is one."""
    for module in (access, signin):
        monkeypatch.setattr(module, "new_totp", lambda: drawn_secret(bench.clock()))


@pytest.fixture
def front_desk(bench, monkeypatch, drawn_secrets):
    """Sign-in with passwords hashed cheaply: what these tests are about is what becomes of
    them, not what guessing costs.
    """
    monkeypatch.setattr(
        factors, "_HASHER", PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)
    )
    monkeypatch.setattr(factors, "_DUMMY", factors.hash_password("nobody has this password"))
    monkeypatch.setattr(access, "_HASHED", [])
    return FrontDesk(bench)
