"""What a maker of chips took back (N213): lists that count, lists that do not, and who is named."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import example, given
from hypothesis import strategies as st

from framegate.cloud.initial_key import verify_initial_key
from framegate.cloud.revocations import (
    MAX_LIST_BYTES,
    load_revocation_list,
    require_not_revoked,
)
from framegate.errors import EvidenceRejected, Malformed, Reason, Unavailable
from framegate_controller.revocation_files import read_revocation_lists
from framegate_simulators.machine.cloud import ChipWorks, RsaKey

NOW = datetime.now(UTC)
DELTA = x509.DeltaCRLIndicator(1)


@pytest.fixture(scope="module")
def works() -> ChipWorks:
    return ChipWorks()


@pytest.fixture(scope="module")
def path(works):
    """The chip's certificate, the one above it, the root."""
    return [*map(x509.load_der_x509_certificate, works.chain()), works.root]


def refusal(path, *lists: bytes, now=NOW) -> str:
    with pytest.raises(EvidenceRejected) as caught:
        require_not_revoked(path, [load_revocation_list(raw) for raw in lists], now)
    assert caught.value.reason == Reason.CLOUD_EVIDENCE and str(caught.value).isprintable()
    return str(caught.value)


def test_a_list_that_names_nobody_of_the_chain_lets_it_through(works, path):
    other = ChipWorks()
    empty = load_revocation_list(works.revocation_list())
    stranger = load_revocation_list(works.revocation_list(other.chain()[1]))
    for each in (empty, stranger):
        require_not_revoked(path, [each], NOW)


def test_n213_a_chip_below_a_key_that_its_maker_took_back_vouches_for_nobody(works):
    key = RsaKey.make()
    documents = (works.hcl_report(key.private.public_key()), *works.chain())
    good = load_revocation_list(works.revocation_list())
    verify_initial_key(key.public, documents, [works.root], NOW, [good])
    taken = load_revocation_list(works.revocation_list(works.chain()[1]))
    with pytest.raises(EvidenceRejected, match="revoked by its maker on ") as caught:
        verify_initial_key(key.public, documents, [works.root], NOW, [taken])
    assert caught.value.reason == Reason.CLOUD_EVIDENCE


def test_n213_one_list_of_several_that_names_it_is_enough(works, path):
    asked = (works.revocation_list(), works.revocation_list(works.chain()[1]))
    assert "CN=ASK" in refusal(path, *asked) and "CN=ASK" in refusal(path, *reversed(asked))


def test_n213_a_root_that_is_taken_back_is_none(works, path):
    raw = works.revocation_list(works.root.public_bytes(Encoding.DER))
    assert "CN=ARK" in refusal(path, raw)


def test_n213_a_serial_number_that_no_list_can_name_is_refused(works, path):
    signing = SimpleNamespace(
        subject=path[1].subject, serial_number=-7, public_key=path[1].public_key
    )
    assert "that a list can name" in refusal([path[0], signing, path[2]], works.revocation_list())


BAD = {
    "signed by a stranger": ({"key": rsa.generate_private_key(65537, 2048)}, "a wrong signature"),
    "of another product": ({"issuer": "ARK-Genoa"}, "expected a revocation list of CN=ARK"),
    "that ended": ({"days": (-60, -30)}, "put the present one in its place"),
    "of tomorrow": ({"days": (1, 30)}, "a revocation list of CN=ARK for"),
    "that is a part of one": ({"critical": DELTA}, "without critical extensions"),
}


@pytest.mark.parametrize("what", sorted(BAD))
def test_n213_a_list_that_does_not_count_lets_nobody_through(works, path, what):
    changed, words = BAD[what]
    assert words in refusal(path, works.revocation_list(**changed))


def test_n213_no_list_of_the_roots_own_lets_nobody_through(works, path):
    assert "got none" in refusal(path)


def test_n213_a_list_ends_while_the_controller_runs(works, path):
    raw = works.revocation_list(days=(-1, 1))
    require_not_revoked(path, [load_revocation_list(raw)], NOW)
    assert "put the present one" in refusal(path, raw, now=NOW + timedelta(days=2))


@given(st.binary(max_size=64), st.integers(0, 400))
@example(b"\0", 87)
def test_whatever_stands_in_the_file_only_our_errors_come_out(raw, at):
    whole = WHOLE[: at % len(WHOLE)] + raw + WHOLE[at % len(WHOLE) + len(raw) :]
    for each in (raw, whole, b"-----BEGIN X509 CRL-----\n" + raw):
        try:
            found = load_revocation_list(each)
        except Malformed as error:
            assert error.reason == Reason.EK_CHAIN
            continue
        try:
            require_not_revoked([WORKS.root], [found], NOW)
        except EvidenceRejected as error:
            assert error.reason == Reason.CLOUD_EVIDENCE


WORKS = ChipWorks()
WHOLE = WORKS.revocation_list()


def test_files_are_read_each_time_and_one_that_is_gone_or_no_list_is_told(works, tmp_path):
    file = tmp_path / "milan.crl"
    with pytest.raises(Unavailable, match=r"milan\.crl"):
        read_revocation_lists([file])
    file.write_bytes(works.root.public_bytes(Encoding.PEM))
    with pytest.raises(Malformed, match=r"revocation list, DER or PEM in .*milan\.crl"):
        read_revocation_lists([file])
    file.write_bytes(bytes(MAX_LIST_BYTES + 1))
    with pytest.raises(Malformed, match="at most"):
        read_revocation_lists([file])
    for form in (Encoding.PEM, Encoding.DER):
        made = x509.load_der_x509_crl(works.revocation_list())
        file.write_bytes(made.public_bytes(form))
        assert read_revocation_lists([file]) == (made,)
