"""Where the fleet's keys may be: files, PKCS #11 tokens, TPMs."""

import pytest

from framegate.errors import Reason
from framegate_controller.ca.files import FileKeys, read_passphrase
from framegate_controller.ca.open import found_fleet, load_fleet, open_key_store
from framegate_simulators.machine.tpm import Swtpm
from support.ca_keys import SOFTHSM, fresh_process, works
from support.refusals import refused


@pytest.mark.parametrize(("length", "good"), [(0, False), (15, False), (16, True)])
def test_a_passphrase_is_no_shorter_than_a_guesser_needs(tmp_path, length, good):
    """White space around it does not count."""
    file = tmp_path / "passphrase"
    file.touch(0o600)
    file.write_text(f"  {'p' * length}  \n")
    if good:
        assert read_passphrase(tmp_path, file) == b"p" * length
    else:
        assert refused(lambda: read_passphrase(tmp_path, file)) == Reason.USAGE


def test_files_are_encrypted_and_the_passphrase_may_be_elsewhere(tmp_path):
    passphrase = tmp_path / "elsewhere"
    passphrase.touch(0o600)
    passphrase.write_text("a passphrase of some length\n")
    works(found_fleet(tmp_path / "keys", "plant", passphrase_file=passphrase))
    assert not (tmp_path / "keys" / "passphrase").exists()
    for path in (tmp_path / "keys").glob("*.key"):
        assert b"ENCRYPTED PRIVATE KEY" in path.read_bytes() and path.stat().st_mode & 0o077 == 0
    works(load_fleet(tmp_path / "keys", passphrase))
    passphrase.write_text("another passphrase of some length\n")
    assert refused(lambda: load_fleet(tmp_path / "keys", passphrase)) == Reason.CONFLICT
    assert refused(lambda: load_fleet(tmp_path / "keys")) == Reason.UNAVAILABLE


def test_keys_are_never_overwritten(tmp_path):
    found_fleet(tmp_path, "plant")
    assert refused(lambda: found_fleet(tmp_path, "plant")) == Reason.CONFLICT
    assert (
        refused(lambda: FileKeys(tmp_path, read_passphrase(tmp_path, None)).make("root"))
        == Reason.CONFLICT
    )


@pytest.mark.parametrize(
    "location",
    ["pkcs11:", "pkcs11:module=x", "tpm:", "ftp:x", "pkcs11:module=x;token=y;pin-file=z;more=1"],
)
def test_key_stores_that_are_written_wrongly(tmp_path, location):
    assert refused(lambda: open_key_store(location, tmp_path, b"")) == Reason.USAGE


def test_a_fleet_in_a_pkcs11_token(tmp_path, token):
    works(found_fleet(tmp_path / "keys", "plant", token))
    works(load_fleet(tmp_path / "keys"))
    assert (
        not (tmp_path / "keys" / "root.key").exists()
        and not (tmp_path / "keys" / "device-ca.key").exists()
    )
    key = load_fleet(tmp_path / "keys").root.key
    with pytest.raises(NotImplementedError):
        key.private_numbers()
    assert (
        refused(lambda: found_fleet(tmp_path / "second", "plant", token)) == Reason.CONFLICT
    )  # its labels are taken


@pytest.mark.parametrize("how", ["wrong pin", "no module", "no token", "no pin file"])
def test_tokens_that_are_away(tmp_path, token, how):
    found_fleet(tmp_path / "keys", "plant", token)
    location = tmp_path / "keys" / "held"
    if how == "wrong pin":
        (tmp_path / "pin").write_text("999999")
    elif how == "no pin file":
        (tmp_path / "pin").unlink()
    else:
        location.write_text(
            location.read_text().replace(
                *(
                    (SOFTHSM, "/nowhere.so")
                    if how == "no module"
                    else ("token=fleet", "token=other")
                )
            )
        )
    fresh_process()
    assert refused(lambda: load_fleet(tmp_path / "keys")) == Reason.UNAVAILABLE


def test_a_fleet_in_a_tpm(tmp_path, tpm):
    works(found_fleet(tmp_path / "keys", "plant", tpm))
    works(load_fleet(tmp_path / "keys"))
    assert (
        not (tmp_path / "keys" / "root.key").exists() and (tmp_path / "keys" / "root.tpm").exists()
    )


def test_a_tpms_keys_are_worth_nothing_on_another_tpm_or_when_damaged(tmp_path, tpm):
    found_fleet(tmp_path / "keys", "plant", tpm)
    other = Swtpm(tmp_path / "other")
    other.start()
    try:
        (tmp_path / "keys" / "held").write_text(f"tpm:{other.tcti}")
        keys = load_fleet(tmp_path / "keys")
        assert refused(lambda: works(keys)) == Reason.UNAVAILABLE
    finally:
        other.stop()
    (tmp_path / "keys" / "held").write_text(tpm)
    (tmp_path / "keys" / "root.tpm").write_text("{}")
    assert refused(lambda: load_fleet(tmp_path / "keys")) == Reason.UNAVAILABLE


def test_a_tpm_that_is_away(tmp_path):
    assert (
        refused(lambda: found_fleet(tmp_path, "plant", "tpm:swtpm:path=/nowhere"))
        == Reason.UNAVAILABLE
    )
