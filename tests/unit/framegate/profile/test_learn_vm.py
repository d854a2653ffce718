"""A profile of a machine that booted UEFI, GRUB and a kernel with real IMA (`make vm-test`)."""

import gzip
from dataclasses import replace

import pytest
import tomli_w

from framegate.errors import Reason
from framegate.eventlog import parse_boot_log
from framegate.evidence.appraise import event_failures
from framegate.ima import parse_ima
from framegate.ima.allowlist import parse_allowlist
from framegate.profile.learn import IMA_POLICY, Observation, learn
from framegate.profile.model import parse_profile
from framegate.profile.review import lint
from framegate.tpm.constants import Alg
from support.paths import VECTORS

LOG = parse_boot_log(gzip.decompress((VECTORS / "vm/boot_log.gz").read_bytes()))
IMA = parse_ima(gzip.decompress((VECTORS / "vm/ima.gz").read_bytes())).entries
COMMAND = b"linuxefi /vmlinuz root=/dev/vda2"
"""How the boot loader was told to start the kernel."""


@pytest.fixture(scope="module")
def learnt():
    return learn(
        [Observation(LOG, ima=IMA)],
        name="vm",
        version="1",
        revision=1,
        description="",
        bank=Alg.SHA256,
    )


def test_its_logs_are_read_whole():
    assert {0, 1, 2, 4, 5, 7, 8, 9} <= {e.pcr for e in LOG.events}
    assert any(e.pcr == 8 and COMMAND in e.data for e in LOG.events)
    assert IMA[0].path == b"boot_aggregate" and len(IMA) > 700


def test_the_profile_names_what_every_start_of_the_agent_reads(learnt):
    rules = learnt[0]["ima"]
    assert rules["required"][0] == IMA_POLICY
    names = {path.rsplit("/", 1)[1].split(".")[0] for path in rules["required"][1:]}
    assert names == {"attestation", "chip", "daemon", "main"}
    ours = {e.path for e in IMA if e.path.startswith(b"/opt/framegate/")}
    assert ours <= {f.path for f in parse_allowlist(learnt[1]).files()}


def test_lint_says_that_it_may_start_without_secure_boot_and_nothing_worse(learnt):
    remarks = lint(parse_profile(tomli_w.dumps(learnt[0]).encode()))
    assert "[secure_boot] required" in {r.about for r in remarks}
    assert [r.about for r in remarks if r.error] == []


def changed(find: bytes, put: bytes):
    """The log with other text in one event; its digests are those of before."""
    events = [
        e._replace(data=e.data.replace(find, put)) if find in e.data else e for e in LOG.events
    ]
    return replace(LOG, events=tuple(events))


def test_the_machine_satisfies_it_and_one_that_was_told_otherwise_does_not(learnt):
    profile = parse_profile(tomli_w.dumps(learnt[0]).encode())
    assert event_failures(LOG, profile) == []
    other = changed(b"ima_policy=tcb", b"ima_policy=xxx")
    assert event_failures(other, profile) != []
    gone = replace(LOG, events=tuple(e for e in LOG.events if e.pcr != 4))
    assert Reason.EVENT_ABSENT in {f.reason for f in event_failures(gone, profile)}
