"""The operator's own security key. A small protocol, so that a software authenticator fits too."""

from __future__ import annotations

from typing import Protocol


class Authenticator(Protocol):
    """Answers WebAuthn's options, both as JSON."""

    def create(self, options: str) -> str:
        """A new credential's registration."""

    def get(self, options: str) -> str:
        """A signature by a registered credential."""


def find_authenticator(server_name: str) -> Authenticator:
    """The authenticator of this machine; `server_name` names the fleet, and so the relying party.

    Raises Unavailable.
    """
    # the fido2 library takes a tenth of a second, and most sign-ins have no use for it
    from framegate_operator.usb_key import UsbKey  # noqa: PLC0415 - start-up

    return UsbKey(f"https://{server_name.removeprefix('controller.')}")
