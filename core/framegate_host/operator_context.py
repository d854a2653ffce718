"""The file that says where a fleet is: the controller writes the first, commands write more."""

from __future__ import annotations

from typing import Any


def context_body(
    join_address: str, fleet_address: str, server_name: str, root: str
) -> dict[str, Any]:
    """A context before anybody signed in, `root` as PEM: nothing in it is a secret."""
    return {
        "join_address": join_address,
        "fleet_address": fleet_address,
        "server_name": server_name,
        "root": root,
    }
