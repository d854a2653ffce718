"""A FIDO2 key that is plugged into the operator's machine, by the fido2 library."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from fido2.client import DefaultClientDataCollector, Fido2Client, UserInteraction
from fido2.hid import CtapHidDevice
from fido2.webauthn import CredentialCreationOptions, CredentialRequestOptions

from framegate.errors import Reason, Refused, Unavailable
from framegate_host.console import ask, talk


class UsbKey:
    """The first FIDO2 key that is plugged in. Raises Unavailable where there is none."""

    def __init__(self, origin: str) -> None:
        device = next(iter(CtapHidDevice.list_devices()), None)
        if device is None:
            raise Unavailable.of(
                Reason.SIGN_IN,
                "a FIDO2 security key on this machine",
                "none",
                "plug it in; your user needs access to /dev/hidraw*; or: framegate login NAME",
            )
        collector = DefaultClientDataCollector(origin, lambda _rp, _origin: True)
        self._client = Fido2Client(device, collector, user_interaction=_Person())

    def create(self, options: str) -> str:
        """A new credential's registration."""

        def work() -> Mapping[str, Any]:
            asked = CredentialCreationOptions.from_dict(json.loads(options))
            return self._client.make_credential(asked.public_key)

        return _answered(work)

    def get(self, options: str) -> str:
        """A signature by a registered credential."""

        def work() -> Mapping[str, Any]:
            asked = CredentialRequestOptions.from_dict(json.loads(options))
            return self._client.get_assertion(asked.public_key).get_response(0)

        return _answered(work)


class _Person(UserInteraction):
    def prompt_up(self) -> None:
        talk.print("touch your security key")

    def request_pin(self, permissions: Any, rp_id: str | None) -> str | None:
        return ask("PIN of your security key", hide_input=True)


def _answered(work: Callable[[], Mapping[str, Any]]) -> str:
    try:
        return json.dumps(dict(work()))
    except Exception as error:
        raise Refused.of(
            Reason.SIGN_IN,
            "an answer of your security key",
            f"{type(error).__name__}: {error}"[:120],
            "touch it in time, with the right PIN",
        ) from error
