"""Fleets whose keys are in files, tokens and TPMs."""

from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from framegate.identity.certificates import Purpose, verify_certificate
from framegate_controller.ca.issue import issue_operator
from framegate_controller.ca.keys import ISSUING, FleetKeys
from framegate_simulators.machine.tpm import Swtpm

SOFTHSM = "/usr/lib/softhsm/libsofthsm2.so"


@pytest.fixture
def token(pkcs11_token) -> str:
    """A PKCS #11 token that this process has not opened yet."""
    fresh_process()
    return pkcs11_token


@pytest.fixture
def tpm(tmp_path):
    """A TPM of this test alone, as `init --ca-keys` names it."""
    swtpm = Swtpm(tmp_path / "swtpm")
    swtpm.start()
    yield f"tpm:{swtpm.tcti}"
    swtpm.stop()


def fresh_process() -> None:
    """The module as a new process has it: configuration read, nobody logged in."""
    import pkcs11

    pkcs11.lib(SOFTHSM).reinitialize()


def works(keys: FleetKeys) -> None:
    """Certificates by every issuing CA verify to the root."""
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = issue_operator(keys, "anna", key.public_key(), timedelta(hours=1))
    assert (
        verify_certificate(
            certificate,
            Purpose.OPERATOR,
            keys.intermediates,
            keys.root.certificate,
            datetime.now(UTC),
        ).common_name
        == "operator.anna"
    )
    for label in ISSUING:
        issuer = keys.issuing[label]
        issuer.key.public_key().verify(
            issuer.key.sign(b"x", ec.ECDSA(hashes.SHA256())), b"x", ec.ECDSA(hashes.SHA256())
        )
        assert issuer.key.public_key() == issuer.certificate.public_key()
