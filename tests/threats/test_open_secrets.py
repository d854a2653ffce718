"""N192: a secret in a file that everybody on the machine reads, or that others can write, is taken
by no program.
"""

import os
from pathlib import Path

import pytest

from framegate.errors import FramegateError, Reason, Refused
from framegate_agent.camera.source_names import named_source
from framegate_controller.server import _provider
from framegate_controller.settings import ControllerSettings
from framegate_controller.sinks.credentials import Credentials
from framegate_controller.sinks.delivery import SinkFailed
from framegate_controller.store.postgres import _password
from framegate_host import secret_files
from framegate_host.private_files import write_private
from framegate_host.secret_files import read_secret
from support.refusals import refused

OPEN = (0o604, 0o644, 0o602, 0o620, 0o660, 0o666, 0o640 | 0o001)
CLOSED = (0o600, 0o400, 0o440, 0o640)


@pytest.fixture(params=OPEN, ids=oct)
def open_file(request, tmp_path):
    path = tmp_path / "secret"
    write_private(path, b"hunter2\n")
    path.chmod(request.param)
    return path


@pytest.mark.parametrize("mode", CLOSED, ids=oct)
def test_n192_a_secret_of_its_owner_or_of_a_services_own_group_is_read(tmp_path, mode):
    path = tmp_path / "secret"
    write_private(path, b" hunter2\n")
    path.chmod(mode)
    assert read_secret(path) == b"hunter2" and _password(path) == "hunter2"


def test_n192_one_that_is_open_is_read_by_nobody(open_file, tmp_path):
    assert refused(lambda: read_secret(open_file), Refused) == Reason.USAGE
    assert refused(lambda: _password(open_file), Refused) == Reason.USAGE, "of a database"
    settings = ControllerSettings(
        state=tmp_path,
        oidc_issuer="https://idp.example.net",
        oidc_client_id="framegate",
        oidc_client_secret_file=open_file,
    )
    assert refused(lambda: _provider(settings, None), Refused) == Reason.USAGE, "of a provider"
    assert refused(lambda: named_source(f"address:{open_file}")) == Reason.USAGE, "of a camera"


@pytest.mark.parametrize("name", ["token", "client.pem"])
def test_n192_a_sinks_credentials_as_well(open_file, name):
    open_file.rename(open_file.with_name(name))
    credentials = Credentials(open_file.parent)
    with pytest.raises(SinkFailed, match="alone reads"):
        credentials.token() if name == "token" else credentials.context()


def test_n192_a_tokens_pin_as_well(open_file):
    pkcs11 = pytest.importorskip("framegate_controller.ca.pkcs11")
    with pytest.raises(FramegateError, match="alone reads"):
        pkcs11.Pkcs11Keys("/nowhere.so", "fleet", open_file)


def test_n192_what_is_no_file_or_a_huge_one_is_not_waited_for(tmp_path, monkeypatch):
    os.mkfifo(pipe := tmp_path / "pipe", 0o600)
    assert refused(lambda: read_secret(pipe)) == Reason.USAGE
    assert refused(lambda: read_secret(Path("/dev/zero"))) == Reason.USAGE
    monkeypatch.setattr(secret_files, "MAX_SECRET", 4)
    write_private(tmp_path / "huge", b"12345")
    assert refused(lambda: read_secret(tmp_path / "huge")) == Reason.USAGE
    with pytest.raises(OSError, match="No such file"):
        read_secret(tmp_path / "absent")
