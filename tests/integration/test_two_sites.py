"""Two controllers that know each other over a real port, and a link that is cut."""

from contextlib import asynccontextmanager
from datetime import UTC, datetime

import grpc
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import load_der_x509_certificate

from framegate.access.verbs import parse_scoped
from framegate.errors import FramegateError, Reason
from framegate.federation.visit import issuer_of
from framegate.identity.pem import private_pem
from framegate.registry.site import Link
from framegate_controller.people.operators import NewOperator, add_operator
from framegate_controller.server import Controller
from framegate_controller.settings import ControllerSettings
from framegate_operator.session_credentials import certificate_request, session_credential
from framegate_proto.edge import from_rpc_error
from framegate_proto.v1 import framegate_pb2 as pb
from framegate_proto.v1 import framegate_pb2_grpc as rpc
from framegate_simulators.fixtures.access import signed_in
from framegate_simulators.fixtures.controller import found_controller as found_another
from framegate_simulators.plant.processes import free_port
from support.founded import found_controller
from support.other_sites import bundle, site
from support.waiting import until


@asynccontextmanager
async def running(state, bundle_at=""):
    controller = Controller(
        ControllerSettings(
            state=state, join_port=0, fleet_port=0, bundle_at=bundle_at, bundle_refresh=10
        )
    )
    await controller.start()
    try:
        yield controller
    finally:
        await controller.stop()


def channel(controller, root, pair=None, *, join=False):
    address = controller.join_address if join else controller.fleet_address
    options = (
        ("grpc.ssl_target_name_override", f"controller.{controller.fleet.name}.framegate"),
        ("grpc.use_local_subchannel_pool", 1),
    )
    tls = grpc.ssl_channel_credentials(root.pem, *(pair or ()))
    return grpc.aio.secure_channel(address, tls, options=options)


def north_at(controller):
    with controller.store.reading() as tx:
        return tx.sites.get("north")


def add(controller, new):
    with controller.store.writing() as tx:
        add_operator(tx, new, by="host")


async def visit(home, home_fleet, there, there_fleet, pair):
    """(session, key) of whoever has the session `pair` at home."""
    key = ec.generate_private_key(ec.SECP256R1())
    csr = certificate_request(key)
    async with channel(home, home_fleet.root, pair) as own:
        asked = pb.VisitSiteRequest(fleet=there_fleet.fleet, csr=csr)
        vouched = await rpc.OperatorStub(own).VisitSite(asked)
    async with channel(there, there_fleet.root, join=True) as door:
        return await rpc.SignInStub(door).Visit(pb.VisitRequest(chain=vouched.chain, csr=csr)), key


@pytest.mark.plants
async def test_two_sites_know_each_other_and_a_cut_link_harms_nothing(tmp_path):
    at = f"127.0.0.1:{free_port()}"
    plant, north = found_controller(tmp_path / "plant"), found_another(tmp_path / "north", "north")
    now_ms = int(datetime.now(UTC).timestamp() * 1000)
    async with running(tmp_path / "plant") as here:
        async with running(tmp_path / "north", at) as there:
            with here.store.writing() as tx:
                tx.sites.put(site(north, endpoint=at, added_ms=now_ms))
            with there.store.writing() as tx:
                tx.sites.put(site(plant, name="plant", bundle=bundle(plant), added_ms=now_ms))
            await until(lambda: north_at(here).seen_ms)
            seen = north_at(here)
            assert (seen.link(seen.seen_ms), seen.refresh_s) == (Link.UP, 10)

            pair = signed_in(there.store, north, "alice", "operator")
            with pytest.raises(grpc.aio.AioRpcError) as caught:  # nobody maps her so far
                await visit(there, north, here, plant, pair)
            assert from_rpc_error(caught.value, "").reason is Reason.SIGN_IN
            mapped = NewOperator(
                name="alice-n",
                roles=(parse_scoped("viewer"),),
                vouched=True,
                oidc_issuer=issuer_of("north"),
                oidc_subject="alice",
            )
            add(here, mapped)
            session, key = await visit(there, north, here, plant, pair)
            credential = session_credential(plant.root.certificate, key, session)
            own = (private_pem(key), credential.certificate)
            async with channel(here, plant.root, own) as opened:
                me = await rpc.OperatorStub(opened).WhoAmI(pb.WhoAmIRequest())
                sites = await rpc.OperatorStub(opened).ListSites(pb.ListRequest())
            assert (me.operator, list(me.roles), me.method) == ("alice-n", ["viewer"], "visit")
            assert [(s.name, s.link) for s in sites.sites] == [("north", "up")]
            # what vouches for her opens nothing at home: its key has no session there
            async with channel(there, north.root, await vouched_pair(there, north, pair)) as opened:
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await rpc.OperatorStub(opened).WhoAmI(pb.WhoAmIRequest())
            with pytest.raises(FramegateError):
                raise from_rpc_error(caught.value, "")
        with here.store.writing() as tx:  # its turn comes sooner than in ten seconds
            tx.sites.put(site(north, endpoint=at, added_ms=tx.now_ms, seen_ms=1))
        await until(lambda: north_at(here).failing_ms)
        assert north_at(here).pinned.roots == (north.root.der,)
        async with channel(here, plant.root, own) as opened:
            sites = await rpc.OperatorStub(opened).ListSites(pb.ListRequest())
        assert sites.sites[0].link == "down"


async def vouched_pair(there, north, pair):
    """The certificate that vouches for a person, as if it were a session's."""
    key = ec.generate_private_key(ec.SECP256R1())
    async with channel(there, north.root, pair) as own:
        asked = pb.VisitSiteRequest(fleet="plant", csr=certificate_request(key))
        vouched = await rpc.OperatorStub(own).VisitSite(asked)
    chain = map(load_der_x509_certificate, vouched.chain)
    return private_pem(key), b"".join(c.public_bytes(Encoding.PEM) for c in chain)
