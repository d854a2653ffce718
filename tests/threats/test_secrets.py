"""N87: secrets at rest."""

import shutil
from contextlib import closing

import pyotp
import pytest

from framegate.errors import FramegateError
from framegate_controller.ca.open import found_fleet, load_fleet
from framegate_controller.people.signin import found_operator, seal_break_glass
from framegate_controller.store.database import open_registry
from framegate_controller.store.transfer import copy_rows
from framegate_simulators.fixtures.access import PASSWORD


@pytest.mark.parametrize(
    "how",
    [
        "readable key",
        "readable passphrase",
        "short passphrase",
        "no passphrase",
        "junk key",
        "no key",
        "another's key",
    ],
)
def test_n87_key_files_that_are_not_right(tmp_path, how):
    folder = tmp_path / "keys"
    found_fleet(folder, "plant")
    if how == "readable key":
        (folder / "root.key").chmod(0o644)
    elif how == "readable passphrase":
        (folder / "passphrase").chmod(0o640)
    elif how == "short passphrase":
        (folder / "passphrase").write_text("short")
    elif how == "no passphrase":
        (folder / "passphrase").unlink()
    elif how == "junk key":
        (folder / "grant.key").write_bytes(b"junk")
    elif how == "no key":
        (folder / "device-ca.key").unlink()
    else:
        found_fleet(tmp_path / "other", "plant")
        shutil.copy(tmp_path / "other" / "grant.key", folder / "grant.key")
    with pytest.raises(FramegateError):
        load_fleet(folder)


def test_n87_the_store_holds_no_password_no_secret_and_no_code(front_desk, tmp_path):
    with front_desk.store.writing() as tx:
        uri, codes = found_operator(tx, front_desk.keys, "anna", PASSWORD)
        sealed = seal_break_glass(tx, by="host")
    secret = pyotp.parse_uri(uri).secret
    # a database's rows, too, come into a file as they are
    with closing(open_registry(tmp_path / "copy.db")) as copy:
        assert copy_rows(front_desk.store, copy)
    raw = b"".join(p.read_bytes() for p in tmp_path.glob("*.db*"))
    for text in (
        PASSWORD,
        secret,
        sealed,
        sealed.replace("-", ""),
        *codes,
        *(c.replace("-", "") for c in codes),
    ):
        assert text.encode() not in raw
    assert b"$argon2id$" in raw
