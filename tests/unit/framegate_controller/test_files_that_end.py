"""Files on a controller's host that end: told with their dates, and what to bring where."""

from datetime import datetime, timedelta

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from framegate.identity.pem import private_pem
from framegate_controller.files_that_end import SINKS, FilesAt
from framegate_controller.settings import ControllerSettings
from framegate_simulators.machine.cloud import ChipWorks
from support.monitoring import folder_of, issued

DAY_MS = 86_400_000


class Tomorrow(datetime):
    @classmethod
    def now(cls, tz=None):
        return super().now(tz) + timedelta(days=1)


@pytest.fixture
def sink(tmp_path):
    folder = tmp_path / SINKS / "splunk"
    folder.mkdir(parents=True)
    return folder


def pem(name):
    key, certificate = issued(name)
    return private_pem(key) + certificate.public_bytes(Encoding.PEM)


def test_a_revocation_list_is_told_by_its_next_update(tmp_path):
    listed = tmp_path / "ark's.crl"
    listed.write_bytes(ChipWorks().revocation_list(days=(-1, 20)))
    (one,) = FilesAt(state=tmp_path, revocations=[listed]).ends([])
    assert 20.9 * DAY_MS < one.ends_ms - one.begins_ms < 21.1 * DAY_MS
    assert "ark's.crl" in one.name and "CN=ARK" in one.name
    assert one.do.startswith("put the maker's present list to '") and one.do.endswith("crl'")


def test_a_list_that_was_replaced_is_read_anew(tmp_path):
    listed, works = tmp_path / "ark.crl", ChipWorks()
    at = FilesAt(state=tmp_path, revocations=[listed])
    listed.write_bytes(works.revocation_list(days=(-1, 1)))
    (before,) = at.ends([])
    listed.write_bytes(works.revocation_list(days=(-1, 100)))
    (after,) = at.ends([])
    assert after.ends_ms - before.ends_ms > 98 * DAY_MS


def test_credentials_of_sinks_that_there_are(tmp_path, sink):
    (sink / "client.pem").write_bytes(pem("ours"))
    (sink / "ca.pem").write_bytes(pem("theirs"))
    at = FilesAt(state=tmp_path)
    told = at.ends(["splunk", "elastic"])
    assert [one.name for one in told] == [
        "the certificate to the sink splunk",
        "the authority of the sink splunk",
    ]
    assert str(sink / "client.pem") in told[0].do
    assert at.ends([]) == (), "a sink that was removed"


def test_of_several_certificates_in_one_file_the_first_to_end_counts(tmp_path, sink, monkeypatch):
    first = pem("a")
    (sink / "ca.pem").write_bytes(first)
    (alone,) = FilesAt(state=tmp_path).ends(["splunk"])
    monkeypatch.setattr("support.monitoring.datetime", Tomorrow)
    (sink / "ca.pem").write_bytes(pem("b") + first)
    (both,) = FilesAt(state=tmp_path).ends(["splunk"])
    assert both.ends_ms == alone.ends_ms


def test_the_listeners_and_the_providers(tmp_path):
    tls = folder_of(tmp_path / "tls", issued("metrics"), pem("monitoring"))
    (tmp_path / "oidc.pem").write_bytes(pem("provider"))
    at = FilesAt(state=tmp_path, metrics_tls=tls, oidc_ca=tmp_path / "oidc.pem")
    names = [one.name for one in at.ends([])]
    assert len(names) == 3 and len(set(names)) == 3
    assert sum("restart the controller" in one.do for one in at.ends([])) == 2


@pytest.mark.parametrize("content", [b"", b"no PEM", b"-----BEGIN CERTIFICATE-----\n!!!", None])
def test_what_cannot_be_read_ends_nothing_here(tmp_path, sink, content):
    for path in (sink / "ca.pem", sink / "client.pem", tmp_path / "x.crl"):
        if content is not None:
            path.write_bytes(content)
    at = FilesAt(
        state=tmp_path, revocations=[tmp_path / "x.crl"], metrics_tls=sink, oidc_ca=sink / "none"
    )
    assert at.ends(["splunk"]) == ()


def test_a_controller_looks_where_its_settings_say(tmp_path):
    settings = ControllerSettings(
        state=tmp_path, snp_revocations=(tmp_path / "a",), metrics_tls=tmp_path / "b"
    )
    assert settings.files == FilesAt(
        state=tmp_path, revocations=(tmp_path / "a",), metrics_tls=tmp_path / "b"
    )
