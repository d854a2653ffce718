"""Signed sets."""

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from framegate.errors import FramegateError, Malformed, Refused
from framegate_gateway.inference.signed_folder import check_folder
from framegate_models.manifest import sign_folder

pytestmark = pytest.mark.slow

KEY = ec.generate_private_key(ec.SECP256R1())


def test_a_signed_set_holds_and_every_change_is_named(training_folder):
    assert check_folder(training_folder).signer == "", "unsigned is known as unsigned"
    signed = sign_folder(training_folder, KEY, "line 3, week 47", "anna")
    assert (
        check_folder(training_folder, [KEY.public_key()]).signer.startswith("key ")
        and check_folder(training_folder).signer == "unverified"
    )
    assert (
        check_folder(training_folder).sha256 == signed.sha256
        and check_folder(training_folder).approved_by == "anna"
    )
    annotation = training_folder / "05000004.txt"
    original = annotation.read_text()
    annotation.write_text(original + "1 1 50 50 1\n")
    for keys in ([], [KEY.public_key()]):
        with pytest.raises(Refused, match="05000004"):
            check_folder(training_folder, keys)
    annotation.write_text(original)
    (training_folder / "smuggled_test.jpg").write_bytes(b"x")
    with pytest.raises(Refused, match="smuggled"):
        check_folder(training_folder)
    (training_folder / "smuggled_test.jpg").unlink()
    (training_folder / "link.txt").symlink_to("/etc/hostname")
    with pytest.raises(Malformed, match="link"):
        check_folder(training_folder)


def test_sets_signed_by_nobody_or_another(training_folder):
    with pytest.raises(Refused):
        check_folder(training_folder, [KEY.public_key()])
    with pytest.raises(Refused, match="approved it"):
        sign_folder(training_folder, KEY, "", "anna")
    sign_folder(training_folder, ec.generate_private_key(ec.SECP256R1()), "s", "mallory")
    with pytest.raises(Refused):
        check_folder(training_folder, [KEY.public_key()])
    (training_folder / "dataset.sig").unlink()
    with pytest.raises(Refused, match="signed folder"):
        check_folder(training_folder)
    (training_folder / "dataset.sig").write_text("{}")
    with pytest.raises(FramegateError):
        check_folder(training_folder)
