"""An IAK that vouches for a TPM without an EK certificate."""

from dataclasses import replace as changed

import pytest

from framegate.errors import EvidenceRejected, FramegateError, Malformed, Reason, Refused
from framegate.identity.endorsement import EK_USAGE
from framegate.tpm.constants import Attr, St
from framegate.tpm.public import AK_ATTRS, TLS_ATTRS
from framegate_simulators.forge.forge import Forge, Key
from framegate_simulators.machine.tpm import TpmMaker
from support.replacement import row


def test_an_iak_vouches_where_no_ek_certificate_does(bench):
    forge = bench.forge().with_iak()
    answer = bench.join(forge, bench.invite())
    assert answer.state == "pending", "by a maker's certificate alone: an operator approves"
    assert row(bench).tpm.endorsement.startswith("IAK certificate")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"magic": 0x12345678}, Reason.MAGIC),
        ({"type": St.ATTEST_QUOTE}, None),
        ({"extra_data": b"\0" * 32}, Reason.EXTRA_DATA),
        ({"qualified_signer": b"\0\x0b" + b"\0" * 32}, Reason.QUALIFIED_SIGNER),
        ({"name": b"\0\x0b" + b"\0" * 32}, Reason.CERTIFIED_NAME),
        ({"certified_qualified_name": b"\0\x0b" + b"\0" * 32}, Reason.CERTIFIED_NAME),
    ],
)
def test_an_iak_that_vouches_for_something_else(bench, change, reason):
    forge = bench.forge().with_iak()
    forge.change_iak = lambda a: changed(a, **change)
    code = bench.invite()
    with pytest.raises(FramegateError) as caught:
        bench.join(forge, code)
    assert reason is None or caught.value.reason == reason
    assert row(bench).state == "invited"
    forge.change_iak = lambda a: a
    assert bench.join(forge, code).state == "pending", "the ticket is not lost"


def test_iaks_that_are_none(bench):
    code = bench.invite()

    def refused(forge: Forge) -> Reason:
        with pytest.raises((EvidenceRejected, Malformed, Refused)) as caught:
            bench.join(forge, code, peer=f"ipv4:10.0.0.{len(forge.ek_certificates)}")
        bench.clock.pass_s(61)
        return caught.value.reason

    plain = bench.forge().with_iak()
    plain.iak = Key.make(TLS_ATTRS)
    plain.iak_certificates = (bench.maker.issue_iak(plain.iak.private.public_key()),)
    assert refused(plain) == Reason.AK_TEMPLATE
    other = bench.forge().with_iak()
    other.iak_certificates = (
        TpmMaker.found("Other Works").issue_iak(other.iak.private.public_key()),
    )
    assert refused(other) == Reason.EK_CHAIN
    wrong = bench.forge().with_iak()
    wrong.iak_certificates = (
        bench.maker.issue_iak(wrong.iak.private.public_key(), usage=EK_USAGE),
    )
    assert refused(wrong) == Reason.EK_CHAIN
    key = bench.forge().with_iak()
    key.iak = Key.make(AK_ATTRS)
    assert refused(key) == Reason.EK_CERTIFICATE_KEY
    silent = bench.forge().with_iak().with_evidence(iak_attest=b"", iak_signature=b"")
    assert refused(silent) in {Reason.MALFORMED, Reason.TOO_LARGE}
    decrypting = bench.forge().with_iak()
    decrypting.iak = Key.make(AK_ATTRS & ~Attr.FIXED_TPM)
    assert refused(decrypting) == Reason.AK_TEMPLATE
