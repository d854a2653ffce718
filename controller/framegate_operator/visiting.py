"""Signing in at another site: one's own controller vouches, the other one looks."""

from __future__ import annotations

from typing import Any, Final

from framegate_operator.connection import operator_stub
from framegate_operator.contexts import OperatorContext
from framegate_proto.v1 import framegate_pb2 as pb

_BEFORE: Final = "controller."
_BEHIND: Final = ".framegate"


def visiting(stub: Any, own: OperatorContext, server_name: str, csr: bytes) -> pb.SignedIn:
    """The session that the site behind `stub`, a sign-in service whose server is called
    `server_name`, opens for who is signed in at `own`. Raises as the calls do.
    """
    fleet = server_name.removeprefix(_BEFORE).removesuffix(_BEHIND)
    with operator_stub(own) as mine:
        vouched = mine.VisitSite(pb.VisitSiteRequest(fleet=fleet, csr=csr))
    session: pb.SignedIn = stub.Visit(pb.VisitRequest(chain=vouched.chain, csr=csr))
    return session
