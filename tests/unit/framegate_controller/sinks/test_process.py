"""A sink's process: which driver speaks to what, and that all of them say that nobody listens."""

import pytest

from framegate.errors import Malformed
from framegate.ocsf.logged import OcsfVersion
from framegate.registry.sink import SinkKind
from framegate_controller.sinks.delivery import SinkFailed
from framegate_controller.sinks.messages import BatchEntry, SinkSetup
from framegate_controller.sinks.process import driver_of, outgoing
from support.ocsf_entries import every_entry

ENTRY = BatchEntry(every_entry()[0], 2)


def setup(kind, folder, address="127.0.0.1:9", version=OcsfVersion.V1_8):
    return SinkSetup(
        name="siem",
        kind=kind,
        address=address,
        channel="x",
        version=version,
        fleet="plant",
        folder=str(folder),
    )


@pytest.mark.parametrize(
    ("kind", "address"),
    [
        ("mqtt", "127.0.0.1:9"),
        ("otlp", "127.0.0.1:9"),
        ("otlp", "http://127.0.0.1:9"),
        ("syslog", "127.0.0.1:9"),
        ("hec", "http://127.0.0.1:9"),
        ("elastic", "http://127.0.0.1:9"),
        ("webhook", "http://127.0.0.1:9"),
    ],
)
def test_every_driver_says_that_nobody_listens(tmp_path, kind, address):
    given = setup(SinkKind(kind), tmp_path, address)
    driver = driver_of(given)
    with pytest.raises(SinkFailed):
        driver.deliver([outgoing(given, ENTRY)])
    driver.close()


@pytest.mark.parametrize("version", list(OcsfVersion))
def test_an_entry_is_sent_in_the_version_that_was_asked_for(tmp_path, version):
    sent = outgoing(setup(SinkKind.FILE, tmp_path, "", version), ENTRY)
    assert sent.event["metadata"]["version"] == version
    assert sent.uid == "plant:0:2"


def test_what_is_no_entry_is_malformed(tmp_path):
    with pytest.raises(Malformed):
        outgoing(setup(SinkKind.FILE, tmp_path), BatchEntry(b"{}"))
