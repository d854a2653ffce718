"""Founding a fleet."""

import pytest

from framegate.errors import Refused
from framegate_controller.ca.open import found_fleet, load_fleet
from framegate_simulators.fixtures.access import write_secret


def test_fleet_keys_are_private_and_never_overwritten(tmp_path):
    folder = tmp_path / "keys"
    found_fleet(folder, "plant")
    assert (
        all(p.stat().st_mode & 0o077 == 0 for p in folder.glob("*.key"))
        and folder.stat().st_mode & 0o077 == 0
    )
    with pytest.raises(Refused):
        found_fleet(folder, "plant")
    (folder / "grant.key").chmod(0o644)
    with pytest.raises(Refused) as caught:
        load_fleet(folder)
    assert "chmod 600" in str(caught.value)


def test_where_keys_are_says_whether_their_passphrase_lies_beside_them(tmp_path):
    beside = found_fleet(tmp_path / "beside", "plant")
    assert beside.key_store.place == "encrypted file, its passphrase beside it"
    elsewhere = write_secret(tmp_path / "passphrase", "so that nobody opens them by itself\n")
    apart = found_fleet(tmp_path / "apart", "plant", passphrase_file=elsewhere)
    assert apart.key_store.place == "encrypted file"
