"""What a collector's own certificate says of its end, seen by whoever sends there."""

import shutil
import ssl
from datetime import UTC, datetime

import pytest

from framegate_controller.sinks import peer_end
from framegate_controller.sinks.credentials import Credentials, Host
from framegate_controller.sinks.peer_end import PeerWatch, peer_life
from framegate_host.certificate_end import AGAIN
from support.collectors import self_signed
from support.sinks import serving


@pytest.fixture
def server(tmp_path):
    folder = tmp_path / "server"
    folder.mkdir()
    self_signed(folder)
    return folder


@pytest.fixture
def credentials(tmp_path, server):
    folder = tmp_path / "sink"
    folder.mkdir()
    shutil.copy(server / "ca.pem", folder)
    return Credentials(folder)


@pytest.fixture
def collector(server):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(server / "ca.pem", server / "key.pem")
    with serving(lambda *_: (200, {}, {}), context) as stub:
        yield stub


def host_of(stub):
    return Host("127.0.0.1", int(stub.address.rpartition(":")[2]))


def at_its_end(collector, credentials, monkeypatch):
    """A moment at which its certificate is about to end."""
    ends = peer_life(host_of(collector), credentials).ends
    monkeypatch.setattr(peer_end, "_now", lambda: ends)


def test_its_end_is_said_once_a_day(collector, credentials, monkeypatch, caplog):
    now = [0.0]
    watch = PeerWatch("splunk", [host_of(collector)], credentials, lambda: now[0])
    at_its_end(collector, credentials, monkeypatch)
    for now[0] in (1.0, 2.0, AGAIN.total_seconds(), AGAIN.total_seconds() + 1):
        watch.look()
    assert len(caplog.records) == 2
    said = caplog.records[0].getMessage()
    assert "the sink splunk sends has ended" in said and "whoever runs it" in said
    assert collector.requests == [], "nothing is sent for it"


def test_one_whose_end_is_far_is_not_told(collector, credentials, monkeypatch, caplog):
    life = peer_life(host_of(collector), credentials)
    monkeypatch.setattr(peer_end, "_now", lambda: life.begins)
    PeerWatch("splunk", [host_of(collector)], credentials).look()
    assert not caplog.records and life.ends > datetime.now(UTC)


def test_one_that_is_not_trusted_here_is_told_by_what_is_delivered_to_it(
    collector, credentials, tmp_path, monkeypatch, caplog
):
    at_its_end(collector, credentials, monkeypatch)
    other = tmp_path / "other"
    other.mkdir()
    self_signed(other)
    PeerWatch("splunk", [host_of(collector)], Credentials(other)).look()
    assert not caplog.records


def test_one_that_is_away_costs_a_look_and_no_fault(credentials, caplog):
    PeerWatch("splunk", [Host("127.0.0.1", 9)], credentials).look()
    assert not caplog.records


def test_where_it_goes_in_plain_text_there_is_none(tmp_path, monkeypatch):
    monkeypatch.setattr(peer_end, "peer_life", lambda *_: pytest.fail("a look"))
    PeerWatch("otlp", [Host("127.0.0.1", 9)], Credentials(tmp_path)).look()


def test_a_broken_folder_of_credentials_ends_no_process(credentials, collector, caplog):
    (credentials.folder / "ca.pem").write_text("no certificate")
    PeerWatch("splunk", [host_of(collector)], credentials).look()
    assert not caplog.records
