"""A security key in software."""

import json

from soft_fido2 import Fido2Authenticator


class SoftSecurityKey:
    """A software authenticator (soft-fido2) that answers our options."""

    def __init__(self, **how) -> None:
        self.device = Fido2Authenticator(counter=1, **how)

    def create(self, options: str, **how) -> str:
        return json.dumps(
            self.device.credential_create(
                json.loads(options)["publicKey"] | how.pop("changed", {}), **how
            )
        )

    def get(self, options: str, **how) -> str:
        return json.dumps(
            self.device.credential_request(
                json.loads(options)["publicKey"] | how.pop("changed", {}), **how
            )
        )
