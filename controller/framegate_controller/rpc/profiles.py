"""Rows of the operator's port: firmware profiles and their signers."""

from __future__ import annotations

from typing import Any, Final

from framegate.registry.rollout import RevokedSigner
from framegate_controller.context import Fleet
from framegate_controller.rpc.table import Rpc
from framegate_controller.verbs.profiles import (
    ImportProfile,
    ListProfiles,
    ProfileView,
    ShownProfile,
    ShowProfile,
)
from framegate_controller.verbs.signers import RevokeSigner
from framegate_proto.v1 import framegate_pb2 as pb


def _profile(view: ProfileView, _fleet: Fleet) -> pb.ProfileRow:
    revision = view.revision
    return pb.ProfileRow(
        name=revision.name,
        version=revision.version,
        revision=revision.revision,
        sha256=revision.sha256,
        signer=revision.signer,
        added_ms=revision.added_ms,
        in_force=view.in_force,
        devices=view.devices,
        problem=view.problem,
        kind=view.kind or "",
    )


def _profiles(views: list[ProfileView], fleet: Fleet) -> pb.ProfilesReply:
    return pb.ProfilesReply(profiles=[_profile(v, fleet) for v in views])


def _shown(shown: ShownProfile, fleet: Fleet) -> pb.ProfileReply:
    return pb.ProfileReply(
        row=_profile(shown.view, fleet), toml=shown.toml, envelope=shown.view.revision.envelope
    )


def _signer(signer: RevokedSigner, _fleet: Fleet) -> pb.ProfileSigner:
    return pb.ProfileSigner(subject=signer.subject, at_ms=signer.at_ms, reason=signer.reason)


ROWS: Final[tuple[Rpc[Any, Any, Any], ...]] = (
    Rpc("ImportProfile", ImportProfile.parse, _profile),
    Rpc("ListProfiles", ListProfiles.parse, _profiles),
    Rpc("ShowProfile", ShowProfile.parse, _shown),
    Rpc("RevokeSigner", RevokeSigner.parse, _signer),
)
