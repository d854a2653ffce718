"""framegate release verify, as somebody types it before installing a package."""

import hashlib
import json

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from typer.testing import CliRunner

from framegate.signed.release import SIGNED_NAME, Provenance, sign_release
from framegate_operator.release import app

KEY = ec.generate_private_key(ec.SECP256R1())


@pytest.fixture
def folder(tmp_path):
    deb = tmp_path / "framegate-agent_1.0_amd64.deb"
    deb.write_bytes(b"a package")
    files = {deb.name: hashlib.sha256(b"a package").digest()}
    release = Provenance("1.0", "ab" * 20, {"pkg:pypi/cbor2@6.0": "cd" * 32}, files)
    (tmp_path / SIGNED_NAME).write_bytes(sign_release(release, KEY))
    pem = KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / "key.pem").write_bytes(pem)
    return tmp_path


def verify(folder, *more):
    deb = folder / "framegate-agent_1.0_amd64.deb"
    return CliRunner().invoke(
        app, ["verify", str(deb), "--key", str(folder / "key.pem"), *map(str, more)]
    )


def test_a_package_of_a_release(folder):
    done = verify(folder)
    assert done.exit_code == 0 and "is of release 1.0" in done.stderr
    body = json.loads(verify(folder, "-o", "json").stdout)
    assert body["version"] == "1.0" and body["commit"] == "ab" * 20


def test_a_package_that_was_changed(folder):
    (folder / "framegate-agent_1.0_amd64.deb").write_bytes(b"another package")
    done = verify(folder)
    assert done.exit_code == 4 and "do not install it" in done.stderr


def test_a_release_without_its_signature(folder):
    (folder / SIGNED_NAME).rename(folder / "elsewhere.json")
    assert verify(folder).exit_code != 0
    assert verify(folder, "--signature", folder / "elsewhere.json").exit_code == 0


def test_another_key(folder):
    other = ec.generate_private_key(ec.SECP256R1()).public_key()
    pem = other.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (folder / "key.pem").write_bytes(pem)
    done = verify(folder)
    assert done.exit_code == 4 and "the key that the project published" in done.stderr


@pytest.mark.parametrize("first", ["good", "bad"])
def test_n191_two_packages_of_one_name_are_two_packages(folder, first):
    """As after two downloads: one of them was looked at, and the other one installed."""
    deb = folder / "framegate-agent_1.0_amd64.deb"
    (other := folder / "other").mkdir()
    (other / deb.name).write_bytes(b"another package")
    files = [deb, other / deb.name] if first == "good" else [other / deb.name, deb]
    asked = ["--key", folder / "key.pem", "--signature", folder / SIGNED_NAME]
    done = CliRunner().invoke(app, ["verify", *map(str, [*files, *asked])])
    assert done.exit_code == 4 and "do not install it" in done.stderr
    (other / deb.name).write_bytes(b"a package")
    done = CliRunner().invoke(app, ["verify", *map(str, [*files, *asked]), "-o", "json"])
    assert done.exit_code == 0 and len(json.loads(done.stdout)["files"]) == 2
