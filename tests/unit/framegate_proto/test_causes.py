"""What gRPC says of a call that failed, in words that are true."""

import grpc
import pytest

from framegate_proto.causes import CLOCK, cause_in_words

GONE = grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize(
    "said",
    [
        "errors resolving no.such.host:9: [field:hostname lookup error:address lookup failed for "
        "no.such.host:9: Domain name not found]",
        "DNS resolution failed for hostname.tls.plant:9: C-ares status is not ARES_SUCCESS",
        "errors resolving connection-refused.plant:9: [field:hostname lookup error:timeout]",
    ],
    ids=["now", "before", "a name that says something else"],
)
def test_a_host_that_is_none_has_no_certificate(said):
    assert cause_in_words(GONE, said) == "no such host: its name has no address"


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        (
            "failed to connect to all addresses; last error: UNKNOWN: ipv4:127.0.0.1:9: Failed to "
            "connect to remote host: Connection refused",
            "nothing listens at 127.0.0.1:9: the connection was refused",
        ),
        ("Hostname Verification Check failed.", "what listens has a certificate of another name"),
        ("Socket closed", "the connection was closed"),
        (
            "ipv4:127.0.0.1:9: Tls handshake failed: CERTIFICATE_VERIFY_FAILED: certificate has "
            "expired: OK",
            f"the certificate of what listens at 127.0.0.1:9 is past its end: {CLOCK}",
        ),
        (
            "CERTIFICATE_VERIFY_FAILED: certificate is not yet valid: OK",
            f"the certificate of what listens is not valid yet: {CLOCK}",
        ),
        (
            "CERTIFICATE_VERIFY_FAILED: unable to get local issuer certificate",
            "what listens has no certificate of this fleet",
        ),
    ],
    ids=["refused", "another name", "closed", "ended", "not begun", "of others"],
)
def test_what_it_was(said, meant):
    assert cause_in_words(GONE, said) == meant
