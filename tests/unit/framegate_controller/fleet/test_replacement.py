"""New hardware under an old name."""

import pytest

from framegate.errors import FramegateError, Reason, Refused
from support.replacement import row


def replacement(bench, ek: bytes | None, name: str = "cam1") -> bytes:
    return bench.invite(name, ek=ek, code=b"replacement.....".ljust(16, b"."), replaces=True)


def test_a_replacement_ends_the_old_identity_in_the_same_transaction(bench):
    old = bench.enrol()
    before = row(bench)
    new = bench.forge()
    code = replacement(bench, new.ek_sha256)
    assert bench.attest(old).state == "trusted", "until the new machine is there the old one works"
    assert bench.join(new, code).state == "trusted"
    after = row(bench)
    assert (
        after.tpm.ek_sha256 == new.ek_sha256 != before.tpm.ek_sha256
        and after.tls.spki_sha256 != before.tls.spki_sha256
    )
    with pytest.raises(Refused) as caught:
        bench.join(old)
    assert caught.value.reason == Reason.EK_UNKNOWN
    answer = bench.attest(old)
    assert answer.certificate is None and row(bench).state == "trusted", (
        "the old AK signs in vain, and cannot harm the new machine"
    )
    assert bench.join(new).state == "trusted"


def test_a_replacement_that_fails_leaves_the_old_identity(bench):
    old = bench.enrol()
    new = bench.forge()
    code = replacement(bench, new.ek_sha256)
    hello = new.hello(code)
    begun = bench.verifier.begin_join(hello, "p")
    mac, evidence = new.answer(bench.fleet.digest, hello, begun.challenge)
    with pytest.raises(FramegateError):
        bench.verifier.complete_join(begun.state, bytes([mac[0] ^ 1]) + mac[1:], evidence)
    assert bench.attest(old).state == "trusted"


def test_a_replacement_with_an_unknown_system_is_suspect_and_the_old_one_is_gone(bench):
    old = bench.enrol()
    new = bench.forge()
    new.firmware = new.firmware.tampered()
    new.boot()
    assert bench.join(new, replacement(bench, new.ek_sha256)).state == "suspect"
    with pytest.raises(Refused):
        bench.join(old)


def test_a_quarantine_is_not_lifted_by_new_hardware(bench):
    from framegate.machines.lifecycle import Event

    bench.enrol()
    bench.move(Event.QUARANTINE)
    new = bench.forge()
    assert bench.join(new, replacement(bench, new.ek_sha256)).state == "quarantined"


def test_another_mainboard_without_a_ticket_is_refused_and_told_what_to_do(bench):
    bench.enrol()
    new = bench.forge()
    with pytest.raises(Refused) as caught:
        bench.join(new)
    assert caught.value.reason == Reason.EK_UNKNOWN
    with pytest.raises(Refused):
        replacement(bench, None, "nobody")
