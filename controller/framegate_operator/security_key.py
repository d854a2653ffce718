"""The operator's own security key: FIDO2 over USB, by the fido2 library. A small protocol, so that a software authenticator fits too."""

from __future__ import annotations

import json
from typing import Any, Protocol

from framegate.errors import Reason, Refused, Unavailable
from framegate_host.console import talk


class Authenticator(Protocol):
    """Answers WebAuthn's options, both as JSON."""

    def create(self, options: str) -> str:
        """A new credential's registration."""

    def get(self, options: str) -> str:
        """A signature by a registered credential."""


class UsbKey:
    """The first FIDO2 key that is plugged in."""

    def __init__(self, origin: str) -> None:
        from fido2.client import DefaultClientDataCollector, Fido2Client, UserInteraction
        from fido2.hid import CtapHidDevice

        class Person(UserInteraction):
            def prompt_up(self) -> None:
                talk.print("touch your security key")

            def request_pin(self, permissions: Any, rp_id: str | None) -> str | None:
                import typer

                return str(typer.prompt("PIN of your security key", hide_input=True, err=True))

        device = next(iter(CtapHidDevice.list_devices()), None)
        if device is None:
            raise Unavailable.of(Reason.SIGN_IN, "a FIDO2 security key on this machine", "none", "plug it in; your user needs access to /dev/hidraw*; or: framegate login NAME")
        self._client = Fido2Client(device, DefaultClientDataCollector(origin, lambda _rp, _origin: True), user_interaction=Person())

    def create(self, options: str) -> str:
        """See `Authenticator`."""
        from fido2.webauthn import CredentialCreationOptions

        return self._answered(lambda: self._client.make_credential(CredentialCreationOptions.from_dict(json.loads(options)).public_key))

    def get(self, options: str) -> str:
        """See `Authenticator`."""
        from fido2.webauthn import CredentialRequestOptions

        return self._answered(lambda: self._client.get_assertion(CredentialRequestOptions.from_dict(json.loads(options)).public_key).get_response(0))

    def _answered(self, work: Any) -> str:
        try:
            return json.dumps(dict(work()))
        except Exception as error:
            raise Refused.of(Reason.SIGN_IN, "an answer of your security key", f"{type(error).__name__}: {error}"[:120], "touch it in time, with the right PIN") from error


def find_authenticator(server_name: str) -> Authenticator:
    """The authenticator of this machine; `server_name` names the fleet, and so the relying party. Raises Unavailable."""
    return UsbKey(f"https://{server_name.removeprefix('controller.')}")
