"""People of other sites: they are here what a mapping of this site says, and no longer than their
own site vouches for them (N199).
"""

from dataclasses import replace
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from framegate.access.verbs import parse_scoped
from framegate.errors import FramegateError, Reason, Refused
from framegate.federation.receipts import SiteStanding
from framegate.federation.visit import (
    VISIT_LIFE,
    claimed_fleet,
    issuer_of,
    person_uri,
    verified_visit,
)
from framegate.identity.certificates import Purpose, from_ms, spki_of
from framegate.wire import sha256
from framegate_controller.ca.issue import certify, issue_operator, issue_visitor
from framegate_controller.ca.template import leaf_template
from framegate_controller.events.notices import AccessChanged
from framegate_controller.people.operators import NewOperator, add_operator, quorum
from framegate_controller.people.signin import SignIn
from framegate_controller.rpc import sites
from framegate_controller.store.shared.ceremonies import MAX_CEREMONIES, InMemoryWaiting
from framegate_controller.store.shared.limits import InMemorySignInLimits
from framegate_controller.verbs.sites import VisitSite
from framegate_operator.session_credentials import certificate_request
from framegate_proto.v1 import framegate_pb2 as pb
from framegate_simulators.fixtures.verbs import AllowedCaller
from support.other_sites import pinned, site

CURVE = ec.SECP256R1()
SOURCE = "ipv4:10.9.8.7:1"


def chain(keys, leaf) -> tuple[bytes, ...]:
    return (leaf.public_bytes(Encoding.DER), keys.issuing["operator-ca"].der)


class Abroad:
    """alice, of the fleet `north`, with a key made for this sign-in."""

    def __init__(self, north, now) -> None:
        self.north, self.now = north, now
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.csr = certificate_request(self.key)

    def vouched(self, person="alice", fleet="plant", key=None):
        public = (key or self.key).public_key()
        leaf = issue_visitor(self.north, person, public, fleet, self.now)
        return chain(self.north, leaf)

    def forged(self, *, name="operator.alice", life=VISIT_LIFE, dns=("plant.framegate",), uri=None):
        uris = [person_uri("north", "alice")] if uri is None else uri
        names = [*map(x509.DNSName, dns), *map(x509.UniformResourceIdentifier, uris)]
        said = leaf_template(
            Purpose.OPERATOR, name, self.key.public_key(), life, self.now, tuple(names)
        )
        return chain(self.north, certify(self.north.issuing["operator-ca"], said))


@pytest.fixture
def alice(bench, north):
    return Abroad(north, from_ms(bench.clock()))


def test_n199_who_is_vouched_for_is_who_their_site_says(alice, north):
    visitor = verified_visit(
        pinned(north), alice.vouched(), alice.key.public_key(), "plant", alice.now
    )
    assert (visitor.fleet, visitor.person) == ("north", "alice")
    assert visitor.issuer == "spiffe://north.framegate"
    assert visitor.until - alice.now <= VISIT_LIFE
    assert claimed_fleet(alice.vouched()[0]) == "north"


@pytest.mark.parametrize(
    "how",
    [
        "for-another-site",
        "for-two-sites",
        "for-no-site",
        "for-a-shift",
        "anothers-name",
        "no-uri",
        "uri-of-another-fleet",
        "another-key",
        "no-operator",
        "over",
        "nothing",
    ],
)
def test_n199_what_is_no_visit(alice, north, how):
    now = alice.now + timedelta(minutes=11) if how == "over" else alice.now
    shown = {
        "for-another-site": lambda: alice.vouched(fleet="south"),
        "for-two-sites": lambda: alice.forged(dns=("plant.framegate", "south.framegate")),
        "for-no-site": lambda: chain(
            north, issue_operator(north, "alice", alice.key.public_key(), VISIT_LIFE, alice.now)
        ),
        "for-a-shift": lambda: alice.forged(life=timedelta(hours=8)),
        "anothers-name": lambda: alice.forged(name="operator.bert"),
        "no-uri": lambda: alice.forged(uri=()),
        "uri-of-another-fleet": lambda: alice.forged(uri=(person_uri("plant", "alice"),)),
        "another-key": lambda: alice.vouched(key=ec.generate_private_key(ec.SECP256R1())),
        "no-operator": lambda: alice.forged(name="alice"),
        "over": alice.vouched,
        "nothing": tuple,
    }[how]()
    with pytest.raises(FramegateError):
        verified_visit(pinned(north), shown, alice.key.public_key(), "plant", now)


@pytest.fixture
def sign_in(bench):
    return SignIn(bench.store, bench.fleet, InMemorySignInLimits(), InMemoryWaiting(MAX_CEREMONIES))


@pytest.fixture
def trusted(bench, north):
    with bench.store.writing() as tx:
        tx.sites.put(site(north))


def mapped(bench, person="alice", name="alice-n", role="operator@line-1", fleet="north"):
    with bench.store.writing() as tx:
        new = NewOperator(
            name=name,
            roles=(parse_scoped(role),),
            vouched=True,
            oidc_issuer=issuer_of(fleet),
            oidc_subject=person,
        )
        add_operator(tx, new, by="operator.anna")


def refused(bench, sign_in, visit, csr) -> str:
    """What the record says of a sign-in that was refused; a stranger hears one sentence."""
    before = len(bench.events("sign-in-failed"))
    with pytest.raises(Refused) as caught:
        sign_in.visit(visit, csr, SOURCE)
    assert caught.value.reason is Reason.SIGN_IN
    assert caught.value.failures[0].actual == "somebody else"
    bench.clock.pass_s(120)
    return str([e["members"] for e in bench.events("sign-in-failed")][before:])


def test_n199_a_mapping_makes_a_visitor_what_it_says(bench, trusted, sign_in, alice):
    mapped(bench)
    signed_in = sign_in.visit(alice.vouched(), alice.csr, SOURCE)
    assert (signed_in.operator, signed_in.roles) == ("alice-n", ("operator@line-1",))
    assert signed_in.expires_ms <= bench.clock() + VISIT_LIFE.total_seconds() * 1000
    with bench.store.reading() as tx:
        session = tx.people.session(sha256(spki_of(alice.key.public_key())))
    assert session is not None
    assert (session.method, session.factor_ms) == ("visit", 0)
    assert not session.stands(signed_in.expires_ms)


def test_n199_nobody_is_mapped_by_default(bench, trusted, sign_in, alice):
    assert "alice" in refused(bench, sign_in, alice.vouched(), alice.csr)


def test_n199_a_mapping_is_of_one_person_of_one_site(bench, trusted, sign_in, alice):
    mapped(bench, fleet="south")
    mapped(bench, person="bert", name="bert-n")
    refused(bench, sign_in, alice.vouched(), alice.csr)


def test_n199_an_operator_here_of_the_same_name_is_somebody_else(bench, trusted, sign_in, alice):
    with bench.store.writing() as tx:
        new = NewOperator(name="alice", roles=(parse_scoped("security"),), vouched=True)
        add_operator(tx, new, by="operator.anna")
    refused(bench, sign_in, alice.vouched(), alice.csr)


def test_n199_a_site_that_nobody_pinned_vouches_for_nobody(bench, sign_in, alice):
    mapped(bench)
    refused(bench, sign_in, alice.vouched(), alice.csr)


def test_n199_one_who_was_barred_here_is_barred(bench, trusted, sign_in, alice):
    mapped(bench)
    with bench.store.writing() as tx:
        tx.people.put(replace(tx.people.find("alice-n"), enabled=False))
    refused(bench, sign_in, alice.vouched(), alice.csr)


def test_n199_a_certificate_of_this_fleet_is_no_visit(bench, trusted, sign_in, alice, keys):
    mapped(bench)
    own = issue_visitor(keys, "anna", alice.key.public_key(), "plant", alice.now)
    refused(bench, sign_in, chain(keys, own), alice.csr)
    refused(bench, sign_in, (), alice.csr)
    refused(bench, sign_in, (b"junk",), alice.csr)


def test_n199_one_sign_in_is_not_shown_twice(bench, trusted, sign_in, alice):
    mapped(bench)
    visit = alice.vouched()
    sign_in.visit(visit, alice.csr, SOURCE)
    with pytest.raises(Refused) as caught:
        sign_in.visit(visit, alice.csr, SOURCE)
    assert caught.value.reason is Reason.CONFLICT


def test_n199_whoever_is_withdrawn_has_no_session_left(bench, trusted, sign_in, alice):
    mapped(bench)
    sign_in.visit(alice.vouched(), alice.csr, SOURCE)
    desk = AllowedCaller(bench.store, bench.fleet, sites.ROWS)
    desk.ask("WithdrawSite", pb.SiteRequest(name="north"))
    with bench.store.reading() as tx:
        session = tx.people.session(sha256(spki_of(alice.key.public_key())))
        assert session is not None
        assert not session.stands(tx.now_ms)
        assert tx.sites.get("north").standing is SiteStanding.WITHDRAWN
    assert desk.told == (AccessChanged(),)
    assert bench.events("site-withdrawn")[0]["members"]["sessions"] == 1
    again = Abroad(alice.north, from_ms(bench.clock()))
    refused(bench, sign_in, again.vouched(), again.csr)


def test_n199_a_visitor_is_no_second_person(bench, trusted, sign_in, alice):
    """Set-up does not end by one, who can approve nothing here."""
    mapped(bench)
    with bench.store.writing() as tx:
        founder = NewOperator(
            name="anna", roles=(), vouched=True, oidc_issuer="https://o", oidc_subject="a"
        )
        add_operator(tx, founder, by="host")
    sign_in.visit(alice.vouched(), alice.csr, SOURCE)
    with bench.store.reading() as tx:
        assert quorum(tx) == 1


class TestVouching:
    """The other side: a site vouches for its own people, at sites that count there."""

    def ask(self, bench, north, fleet="north", key=None):
        with bench.store.writing() as tx:
            if tx.people.get("anna") is None:
                new = NewOperator(name="anna", roles=(), vouched=True)
                add_operator(tx, new, by="host")
        desk = AllowedCaller(bench.store, bench.fleet, sites.ROWS)
        csr = certificate_request(key or ec.generate_private_key(ec.SECP256R1()))
        return desk.ask("VisitSite", pb.VisitSiteRequest(fleet=fleet, csr=csr))

    def test_n199_what_one_site_says_the_other_takes(self, bench, north, keys, trusted):
        key = ec.generate_private_key(ec.SECP256R1())
        reply = self.ask(bench, north, key=key)
        now = from_ms(bench.clock())
        visitor = verified_visit(pinned(keys), reply.chain, key.public_key(), "north", now)
        assert (visitor.fleet, visitor.person) == ("plant", "anna")
        assert bench.events("site-visited")[0]["members"]["fleet"] == "north"

    def test_n199_a_try_makes_no_certificate(self, bench, north, trusted):
        self.ask(bench, north)
        verb = VisitSite(fleet="north", csr=certificate_request(ec.generate_private_key(CURVE)))
        caller = AllowedCaller(bench.store, bench.fleet, sites.ROWS)
        with bench.store.writing() as tx:
            done = verb.run(tx, replace(caller._call(), dry_run=True))
        assert done.value.chain == ()

    def test_n199_at_a_site_that_does_not_count_nobody_is_vouched_for(self, bench, north, trusted):
        with pytest.raises(Refused) as caught:
            self.ask(bench, north, fleet="south")
        assert caught.value.reason is Reason.SITE_UNKNOWN
        with bench.store.writing() as tx:
            tx.sites.put(site(north, standing=SiteStanding.WITHDRAWN))
        with pytest.raises(Refused):
            self.ask(bench, north)

    def test_n199_a_visitor_is_vouched_for_by_their_own_site_alone(self, bench, north, trusted):
        mapped(bench, name="anna")
        with pytest.raises(Refused) as caught:
            self.ask(bench, north)
        assert caught.value.reason is Reason.WRONG_ROLE
