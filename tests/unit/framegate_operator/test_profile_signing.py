"""What is signed already stays as it is: somebody may have approved just those bytes."""

from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from framegate.errors import Reason
from framegate.identity.pem import private_pem
from framegate.profile.model import PROFILE_TYPE
from framegate.signed.dsse import parse_envelope
from framegate_controller.ca.issue import issue_profile_signer
from framegate_operator.profile_signing import sign_profile
from framegate_simulators.machine.boot import Firmware, profile_toml
from support.refusals import refused


@pytest.fixture
def signer(keys, tmp_path):
    def made(name: str):
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = issue_profile_signer(keys, name, key.public_key(), timedelta(days=1))
        out = tmp_path / f"{name}.pem"
        out.write_bytes(private_pem(key) + certificate.public_bytes(Encoding.PEM))
        return out

    return made


@pytest.fixture
def profile(tmp_path):
    file = tmp_path / "m.toml"
    file.write_text(profile_toml(Firmware("m"), "m"))
    return file


def test_the_same_profile_by_the_same_key_is_signed_once(signer, profile):
    key = signer("carla")
    first = sign_profile(profile, key).read_bytes()
    assert parse_envelope(first, PROFILE_TYPE).payload == profile.read_bytes()
    assert sign_profile(profile, key).read_bytes() == first


@pytest.mark.parametrize("changed", ["profile", "key", "junk", "gone"])
def test_whatever_changed_is_signed_anew(signer, profile, changed):
    key = signer("carla")
    target = sign_profile(profile, key)
    first = target.read_bytes()
    if changed == "profile":
        profile.write_text(profile_toml(Firmware("m"), "m", 2))
    elif changed == "key":
        key = signer("dora")
    elif changed == "junk":
        target.write_bytes(b"{}")
    else:
        target.unlink()
    again = sign_profile(profile, key).read_bytes()
    assert again != first
    assert parse_envelope(again, PROFILE_TYPE).payload == profile.read_bytes()


def test_a_profile_with_an_error_is_not_signed_because_it_was_before(signer, profile):
    key = signer("carla")
    profile.write_text(profile_toml(Firmware("m", ima=False), "m"))
    sign_profile(profile, key, force=True)
    assert refused(lambda: sign_profile(profile, key)) == Reason.PROFILE_INVALID
