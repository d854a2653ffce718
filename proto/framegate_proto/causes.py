"""Why a call got no answer, in words: gRPC has it as a text for its developers."""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import Final

import grpc

_PLACE: Final = re.compile(r"ipv[46]:(?:%5B)?([0-9a-fA-F:.]+?)(?:%5D)?:(\d+)")
_MAX_NAMED: Final = 120
"""Letters of a cause that nothing here has words for; gRPC's can be whole lists of addresses."""
_NO_HOST: Final = "no such host: its name has no address"
CLOCK: Final = "is a clock wrong, here or there?"
"""What a certificate of the fleet asks that is not valid at this host's time: they are short."""
_BY_TEXT: Final = (
    # first, because such a text holds the host's name, in which anything may stand, and a field
    # that is called hostname
    ("errors resolving", _NO_HOST),
    ("address lookup failed", _NO_HOST),
    ("dns resolution failed", _NO_HOST),
    ("connection refused", "nothing listens{place}: the connection was refused"),
    (
        "certificate has expired",
        "the certificate of what listens{place} is past its end: {clock}",
    ),
    (
        "certificate is not yet valid",
        "the certificate of what listens{place} is not valid yet: {clock}",
    ),
    ("certificate_verify_failed", "what listens{place} has no certificate of this fleet"),
    ("hostname", "what listens{place} has a certificate of another name"),
    ("wrong_version_number", "what listens{place} does not speak TLS"),
    ("alpn", "what listens{place} hung up during the handshake, or is another program"),
    ("ssl", "no TLS connection{place}: another fleet's server, or none of ours"),
    ("tls", "no TLS connection{place}: another fleet's server, or none of ours"),
    ("handshake", "no TLS connection{place}: another fleet's server, or none of ours"),
    ("no route to host", "no way to the host{place}"),
    ("network is unreachable", "no network{place}"),
    ("timed out", "no answer in time{place}"),
    ("timeout", "no answer in time{place}"),
    ("socket closed", "the connection{place} was closed"),
    ("goaway", "the connection{place} was closed: the server ends"),
    ("connection reset", "the connection{place} was closed"),
    ("broken pipe", "the connection{place} was closed"),
    ("received message larger", "an answer larger than this program takes"),
)
"""What a text has in it, and what it means."""
_BY_CODE: Final = MappingProxyType(
    {
        grpc.StatusCode.DEADLINE_EXCEEDED: "no answer in time{place}",
        grpc.StatusCode.UNIMPLEMENTED: "a server of another version, or another program",
        grpc.StatusCode.CANCELLED: "the call was given up",
        grpc.StatusCode.INTERNAL: "a fault in the server or on the way{place}",
        grpc.StatusCode.UNKNOWN: "a fault in the server; its log says more",
        grpc.StatusCode.RESOURCE_EXHAUSTED: "more than the server or this program takes",
        grpc.StatusCode.UNAUTHENTICATED: "the server does not know who asks",
        grpc.StatusCode.PERMISSION_DENIED: "the server refused, and did not say why",
    }
)


def cause_in_words(code: grpc.StatusCode, details: str) -> str:
    """What came of a call that failed with `code`, of which gRPC says `details`. Where nothing here
    has words for it, the end of gRPC's own.
    """
    place = _PLACE.search(details)
    where = f" at {place[1]}:{place[2]}" if place else ""
    low = details.lower()
    for text, meaning in _BY_TEXT:
        if text in low:
            return meaning.format(place=where, clock=CLOCK)
    if code in _BY_CODE:
        return _BY_CODE[code].format(place=where)
    said = details.rpartition(": ")[2].strip()[:_MAX_NAMED]
    return f"no answer{where}{f': {said}' if said else ''}"
