"""N234, N235: a backup that somebody made up, and a host that says it saw a revision past all."""

import pytest

from framegate.errors import FramegateError, Reason
from framegate.signed.backup import REGISTRY
from framegate.signed.restoration import MOST_LEAP, REVISION_STEP
from framegate_controller.ca.open import load_fleet
from framegate_controller.restoration.restore import restore_backup
from framegate_simulators.attack.made_backups import made_backup
from support.refusals import refused
from support.registries import Registry


@pytest.fixture(scope="module")
def theirs(tmp_path_factory) -> Registry:
    """A fleet of whoever makes backups up."""
    return Registry(tmp_path_factory.mktemp("theirs") / "controller", another=True)


@pytest.fixture
def registry(tmp_path) -> Registry:
    registry = Registry(tmp_path / "controller")
    registry.grow()
    return registry


@pytest.mark.parametrize("kind", ["tpm:cmd:", "pkcs11:"])
def test_n234_a_backup_runs_nothing_that_its_maker_names(theirs, tmp_path, kind):
    ran, module = tmp_path / "ran", tmp_path / "module.so"
    module.write_bytes(b"")
    named = {
        "tpm:cmd:": f"tpm:cmd:touch {ran}; exit 1",
        "pkcs11:": f"pkcs11:module={module};token=t;pin-file={module}",
    }[kind]
    made = made_backup(theirs.folder, tmp_path / "made.tar", named)
    with pytest.raises(FramegateError) as caught:
        theirs.restored(made, tmp_path / "new")
    assert caught.value.reason == Reason.BACKUP, "before the module was looked for"
    assert "--root FILE" in caught.value.failures[0].hint
    assert not ran.exists() and not (tmp_path / "new" / "keys").exists()


def test_n234_under_another_root_neither(theirs, registry, tmp_path):
    ran = tmp_path / "ran"
    made = made_backup(theirs.folder, tmp_path / "made.tar", f"tpm:cmd:touch {ran}; exit 1")
    ask = theirs.ask(
        state=tmp_path / "new",
        passphrase_file=theirs.passphrase,
        root=registry.keys.root.certificate,
    )
    assert refused(lambda: restore_backup(made, ask)) == Reason.BACKUP
    assert not ran.exists()


def test_n234_of_the_fleet_whose_root_is_given_the_keys_are_where_it_says(theirs, tmp_path):
    made = made_backup(theirs.folder, tmp_path / "made.tar", "pkcs11:nothing")
    ask = theirs.ask(
        state=tmp_path / "new",
        passphrase_file=theirs.passphrase,
        root=theirs.keys.root.certificate,
    )
    assert refused(lambda: restore_backup(made, ask)) == Reason.USAGE, "it was looked for"


def test_n234_no_backup_brings_the_passphrase_of_its_keys(theirs, tmp_path):
    made = made_backup(theirs.folder, tmp_path / "made.tar", "", "passphrase")
    assert refused(lambda: theirs.restored(made, tmp_path / "new")) == Reason.BACKUP
    assert not (tmp_path / "new" / "keys").exists()


def test_n234_a_backup_with_keys_in_files_needs_no_root(theirs, tmp_path):
    made = made_backup(theirs.folder, tmp_path / "made.tar", "", "passphrase-of-1999")
    new = theirs.restored(made, tmp_path / "new")
    assert load_fleet(new.folder / "keys").root.der == theirs.keys.root.der


@pytest.mark.parametrize(
    "made_up", [MOST_LEAP + 100, 2**53, 2**63 - 1 - REVISION_STEP, 2**63, 10**31]
)
def test_n235_a_revision_past_all_that_can_be_is_refused(registry, tmp_path, made_up):
    seen = tmp_path / "feed-revision"
    seen.write_text(str(made_up))
    before = (registry.folder / REGISTRY).read_bytes()
    with pytest.raises(FramegateError) as caught:
        registry.made_good(seen)
    assert caught.value.reason == Reason.BACKUP
    assert "leave out the file" in caught.value.failures[0].hint
    assert (registry.folder / REGISTRY).read_bytes() == before, "nothing was changed"


def test_n235_revisions_of_many_restorations_are_followed(registry, tmp_path):
    seen = tmp_path / "feed-revision"
    seen.write_text(str(MOST_LEAP))
    begun = registry.made_good(seen).begun
    assert begun.restoration.revision == MOST_LEAP + REVISION_STEP
    registry.grow()
    seen.write_text(str(begun.restoration.revision + 7))
    again = registry.made_good(seen).begun
    assert again.restoration.revision == begun.restoration.revision + 7 + REVISION_STEP
