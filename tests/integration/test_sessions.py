"""What a session opens and when it ends: at the controller, at a gateway, in what gateways hear."""

import asyncio
from dataclasses import replace

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from framegate.access.verbs import Role
from framegate.errors import Reason
from framegate_proto.edge import from_rpc_error
from framegate_proto.v1 import framegate_pb2 as pb
from framegate_proto.v1 import framegate_pb2_grpc as rpc
from framegate_simulators.fixtures.access import (
    PASSWORD,
    access_update,
    add_person,
    certificate_request,
    operator_pair,
    operator_trust,
    totp_now,
)
from support.gate import Gate
from support.verb_requests import CONTROLLER
from support.walk import answer

WAYS = ("signed out", "disabled", "expired", "no session", "another's name")
"""How a session ends before its certificate does."""


async def test_n80_a_certificate_alone_opens_nothing(walk):
    """The certificate lives eight hours; what counts is the session, which ends at once."""
    from framegate.identity.certificates import spki_of
    from framegate.wire import sha256

    for role, how in zip(Role, WAYS, strict=False):  # somebody else's session for each
        pair = walk.pairs[role]
        spki = sha256(spki_of(x509.load_pem_x509_certificates(pair[1])[0].public_key()))
        async with walk.channel(role) as opened:
            stub = rpc.OperatorStub(opened)
            assert (await answer(stub, "WhoAmI", pb.WhoAmIRequest()))[0] is None, how
            if how == "no session":
                walk.sql("DELETE FROM operator_sessions WHERE spki_sha256 = ?", spki)
            with walk.store.writing() as tx:
                session = tx.people.session(spki)
                if how == "signed out":
                    tx.people.put_session(replace(session, ended_ms=1))
                elif how == "expired":
                    tx.people.put_session(replace(session, expires_ms=1))
                elif how == "another's name":
                    tx.people.put_session(replace(session, operator="witness"))
                elif how == "disabled":
                    tx.people.put(replace(tx.people.get(f"the-{role}"), enabled=False))
            for key in CONTROLLER:  # on the same connection, that was fine a moment ago
                method = key.split(" Operator.")[1]
                said, _ = await answer(stub, method, walk.requests[key])
                assert said == Reason.SIGNED_OUT, (how, key)


async def test_sign_out_and_disable_end_sessions_at_a_gateway_with_the_next_update(keys, tmp_path):
    gate = Gate(keys, tmp_path)
    await gate.operators.start()
    try:
        pair = operator_pair(keys, "anna")
        gate.view.apply(
            pb.TrustUpdate(
                revision=gate.view.revision + 1,
                access=access_update(keys, [operator_trust("anna", pair, "viewer")]),
            )
        )
        async with gate.channel(gate.operator_port, pair) as opened:
            stub = rpc.GatewayOperatorStub(opened)
            assert (await answer(stub, "Status", pb.ListRequest()))[0] is None
            watching = stub.WatchVerdicts(pb.ListVerdictsRequest())
            await watching.read()
            gate.view.apply(
                pb.TrustUpdate(revision=gate.view.revision + 1, access=access_update(keys, []))
            )
            assert (await answer(stub, "Status", pb.ListRequest()))[0] == Reason.SIGNED_OUT
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                for _ in range(10):
                    await asyncio.wait_for(watching.read(), 10)
            assert from_rpc_error(caught.value, "").reason == Reason.SIGNED_OUT
    finally:
        await gate.operators.stop(0)
        gate.receipts.close()


async def test_gateways_hear_of_a_sign_in_and_of_its_end_at_once(walk):
    from cryptography.hazmat.primitives.asymmetric import ec

    from framegate.identity.pem import private_pem

    secret, key = (
        add_person(walk.store, walk.fleet, "nina", "viewer"),
        ec.generate_private_key(ec.SECP256R1()),
    )
    csr = certificate_request(key)
    options = (
        ("grpc.ssl_target_name_override", "controller.plant.framegate"),
        ("grpc.use_local_subchannel_pool", 1),
    )

    async def sessions() -> int:
        """What the next news of people says; others, of models or parts, may come before it."""
        async with asyncio.timeout(30):
            while (update := await feed.next(30)) is None or update.access is None:
                pass
        return sum(len(o.sessions) for o in update.access.operators if o.name == "nina")

    with walk.running.bus.feed("line-1") as feed:
        async with grpc.aio.secure_channel(
            walk.running.join_address,
            grpc.ssl_channel_credentials(walk.fleet.root.pem),
            options=options,
        ) as opened:
            accepted = await rpc.SignInStub(opened).Password(
                pb.PasswordRequest(
                    operator="nina", password=PASSWORD, code=totp_now(secret), csr=csr
                ),
                timeout=20,
            )
        assert await sessions() == 1
        walk.pairs["nina"] = (
            private_pem(key),
            x509.load_der_x509_certificate(accepted.certificate).public_bytes(Encoding.PEM)
            + walk.fleet.issuing["operator-ca"].pem,
        )
        async with walk.channel("nina") as opened:
            await rpc.OperatorStub(opened).SignOut(pb.WhoAmIRequest())
        assert await sessions() == 0
