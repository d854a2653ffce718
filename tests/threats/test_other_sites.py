"""Other sites: who speaks for one, and whose receipts count (N197, N198)."""

from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from framegate.errors import FramegateError, Reason, Refused
from framegate.federation.bundle import bundle_of, parse_bundle
from framegate.federation.endpoint import verified_endpoint
from framegate.federation.receipts import SiteReceipts, SiteStanding
from framegate.federation.refresh import refreshed
from framegate.identity.certificates import Purpose
from framegate.receipt_verifier import ReceiptPending, ReceiptRefused
from framegate_controller.ca.issue import certify, issue_server
from framegate_controller.ca.template import LIVES, leaf_template
from support.other_sites import endpoint_chain, forged_root, known, pinned


def now():
    """The time by which what was made a moment ago is looked at."""
    return datetime.now(UTC)


def leaf(keys, purpose=Purpose.SERVER, uris=("spiffe://north.framegate/controller",), label=None):
    key = ec.generate_private_key(ec.SECP256R1())
    names = [x509.UniformResourceIdentifier(u) for u in uris]
    said = leaf_template(purpose, "bundle", key.public_key(), LIVES[purpose], now(), names)
    issuer = keys.issuing[label or "server-ca"]
    made = certify(issuer, said)
    return [made.public_bytes(Encoding.DER), issuer.der]


def test_n197_the_endpoint_of_the_fleet_itself_speaks_for_it(north):
    shown = verified_endpoint(pinned(north), endpoint_chain(north), now())
    assert shown.common_name == "bundle.north.framegate"


@pytest.mark.parametrize(
    "how",
    ["another-fleet", "self-made-root", "no-issuer", "nothing", "junk"],
)
def test_n197_who_is_not_under_a_pinned_key_speaks_for_nobody(north, keys, how):
    shown = {
        "another-fleet": lambda: leaf(keys),
        "self-made-root": lambda: [*leaf(keys), keys.root.der],
        "no-issuer": lambda: endpoint_chain(north)[:1],
        "nothing": list,
        "junk": lambda: [b"junk", b"junk"],
    }[how]()
    with pytest.raises(FramegateError) as caught:
        verified_endpoint(pinned(north), shown, now())
    assert caught.value.reason is Reason.CERTIFICATE


def test_n197_no_other_server_or_machine_of_that_fleet_speaks_for_its_keys(north):
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    server = issue_server(north, "controller", key).public_bytes(Encoding.DER)
    shown = [
        [server, north.issuing["server-ca"].der],
        leaf(north, Purpose.DEVICE, label="device-ca"),
        leaf(north, Purpose.GATEWAY, label="gateway-ca"),
        leaf(north, label="device-ca"),
        leaf(north, uris=("spiffe://north.framegate/camera/line-1/cam1",)),
        leaf(north, uris=("spiffe://plant.framegate/controller",)),
        leaf(north, uris=("spiffe://north.framegate/controller", "spiffe://a.framegate/x")),
        leaf(north, uris=()),
    ]
    for chain in shown:
        with pytest.raises(Refused) as caught:
            verified_endpoint(pinned(north), chain, now())
        assert caught.value.reason is Reason.CERTIFICATE


def test_n197_a_key_that_nobody_approved_does_not_count(north):
    """Whoever has the endpoint's host adds a root of their own: it is offered, and no more."""
    mine, forged = pinned(north), forged_root("north")
    shown = parse_bundle(bundle_of([north.root.certificate, forged]))
    held = refreshed(mine, mine.sequence, shown)
    assert held.offered == (forged.fingerprint(SHA256()).hex(),)
    assert mine.roots == (north.root.der,)  # what is verified with is the pinned one, as before
    with pytest.raises(Refused, match="vanished"):
        refreshed(mine, mine.sequence, parse_bundle(bundle_of([forged])))


def test_n197_an_older_bundle_is_not_shown_again(north):
    mine = pinned(north)
    with pytest.raises(Refused, match="goes back"):
        refreshed(mine, mine.sequence + 1, mine)


@pytest.fixture
async def receipts_of_plant(receipts_desk):
    """Whole receipts of the fleet `plant`."""
    await receipts_desk.frame(1)
    await receipts_desk.frame(2)
    await receipts_desk.head()
    receipts_desk.sign()
    receipts_desk.log()
    return receipts_desk.receipts()


def refusal(sites: SiteReceipts, receipt) -> str:
    with pytest.raises(ReceiptRefused) as caught:
        sites.verify(receipt)
    assert not isinstance(caught.value, ReceiptPending)
    return str(caught.value)


async def test_n198_a_receipt_of_a_site_that_counts_is_verified_and_named(
    keys, north, receipts_of_plant
):
    sites = SiteReceipts(known=(known(north), known(keys, "south")))
    for receipt in receipts_of_plant:
        shown = sites.verify(receipt)
        assert (shown.site, shown.receipt.claims["fg"]["device"]) == ("south", "camera.line-1.cam1")


async def test_n198_a_site_that_nobody_knows_counts_for_nothing(keys, north, receipts_of_plant):
    why = refusal(SiteReceipts(known=(known(north),)), receipts_of_plant[0])
    assert why.startswith("site: it is of no site that is known here (north)")
    assert "none" in refusal(SiteReceipts(known=()), receipts_of_plant[0])


async def test_n198_a_site_that_was_withdrawn_counts_for_nothing(keys, north, receipts_of_plant):
    """Nor does what it made before, nor one that is not complete."""
    gone = known(keys, "south", SiteStanding.WITHDRAWN)
    sites = SiteReceipts(known=(known(north), gone))
    for receipt in receipts_of_plant:
        for cut in ({}, {"log": None}, {"camera": None}):
            why = refusal(sites, receipt | cut)
            assert "site south (fleet plant), which was withdrawn" in why


async def test_n198_one_of_another_site_is_not_the_wanted_one(keys, north, receipts_of_plant):
    sites = SiteReceipts(known=(known(north), known(keys, "south")), wanted="north")
    why = refusal(sites, receipts_of_plant[0])
    assert "expected a receipt of site north, got one of site south (fleet plant)" in why


async def test_n198_what_does_not_hold_at_home_does_not_hold_abroad(keys, north, receipts_of_plant):
    sites = SiteReceipts(known=(known(north), known(keys, "south")))
    first, second, *_ = receipts_of_plant
    for bad in (
        first | {"leaf": second["leaf"]},
        first | {"metadata": second["metadata"]},
        first | {"batch": first["batch"] | {"index": 1}},
        first | {"authorities": []},
        {},
    ):
        refusal(sites, bad)


async def test_n198_one_whose_proofs_are_not_there_so_far_is_pending(
    keys, north, receipts_of_plant
):
    sites = SiteReceipts(known=(known(north), known(keys, "south")))
    with pytest.raises(ReceiptPending) as caught:
        sites.verify(receipts_of_plant[0] | {"log": None})
    assert caught.value.so_far is not None
    assert SiteReceipts(known=sites.known, need_log=False).verify(
        receipts_of_plant[0] | {"log": None}
    )
