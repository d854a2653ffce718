"""The files of an access policy, with what stands beside it: in a folder, and as the controller has
them in force.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from framegate.access.policy import SCHEMA, PolicySet, verify_policy
from framegate.errors import FramegateError, Malformed, Reason, Refused
from framegate.pilot.policy import FILE as PILOTS
from framegate.segment.policy import FILE as SEGMENTS
from framegate_host.private_files import public_folder, write_public
from framegate_operator.connection import operator_stub
from framegate_operator.contexts import OperatorContext
from framegate_proto.v1 import framegate_pb2 as pb

MAX_READ = 1024 * 1024
"""A policy folder is a few kilobytes; whoever names another folder hears so at once."""


def read_folder(folder: Path) -> dict[str, str]:
    """The policy's files in a folder. Raises Malformed."""
    files = {}
    try:
        beside = [f for f in (folder / SEGMENTS, folder / PILOTS) if f.exists()]
        for path in sorted([folder / SCHEMA, *folder.glob("*.cedar"), *beside]):
            if path.stat().st_size > MAX_READ:
                raise Malformed.of(
                    Reason.TOO_LARGE,
                    f"a policy file of at most {MAX_READ} bytes",
                    f"{path}: {path.stat().st_size}",
                )
            files[path.name] = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        problem = getattr(error, "strerror", None) or type(error).__name__
        raise Malformed.of(
            Reason.POLICY_INVALID,
            f"{SCHEMA} and .cedar files in {folder}",
            f"{problem}",
            "framegate policy init --out DIR, or framegate policy pull --out DIR",
        ) from error
    return files


def write_folder(out: Path, files: Mapping[str, str]) -> None:
    """Write the policy's files into a folder, made where there is none."""
    public_folder(out)
    for name, text in files.items():
        write_public(out / name, text.encode())


def policy_messages(files: Mapping[str, str]) -> list[pb.PolicyFile]:
    """The policy's files as the controller takes them, by name."""
    return [pb.PolicyFile(name=n, text=t) for n, t in sorted(files.items())]


def fetch_policy(context: OperatorContext, version: int = 0) -> PolicySet:
    """A version, by default the one in force, after its signature by this fleet's policy key
    held. Raises Refused.
    """
    with operator_stub(context) as stub:
        reply = stub.ShowPolicy(pb.PolicyRequest(version=version))
    try:
        return verify_policy(reply.envelope, context.root_certificate)
    except FramegateError as error:
        raise Refused.of(
            Reason.POLICY_INVALID,
            "an access policy signed by this fleet's policy key",
            str(error),
            "the controller or its store was tampered with",
        ) from error
