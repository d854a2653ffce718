"""What joining says of a machine that does not satisfy its profile."""

from __future__ import annotations

from collections.abc import Sequence

from framegate.errors import Failure
from framegate.identity.names import split_device_id
from framegate_host.console import talk
from framegate_host.findings import show_kinds


def tell_findings(device: str, failures: Sequence[Failure]) -> None:
    """The first of each kind, how many more there are of it, and where all of them stand."""
    if show_kinds(failures):
        kind, _, name = split_device_id(device)
        talk.print(
            f"all {len(failures)}: framegate {kind} why {name} -o json; a model that is new to the "
            f"fleet: framegate {kind} adopt {name} --key SIGNER"
        )
