"""The broker's own certificate, which a person brings to it: whoever connects there sees it, and
says when it ends.

It is looked at by a handshake of its own. A connection that stands for months was shown the
certificate of its first day: a broker that got its next one meanwhile would be told for nothing.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from cryptography import x509

from framegate.errors import Reason
from framegate_host.broker_client import CONNECT_S, Broker
from framegate_host.certificate_end import AGAIN, BroughtCertificate, Life, renewal

log = logging.getLogger(__name__)
RETRY_S: Final = 60.0
"""While there is no broker to look at; that it is away is told by whoever needs it."""
ENDED: Final = 10
"""X509_V_ERR_CERT_HAS_EXPIRED, as OpenSSL says why it refuses."""
Told = Callable[[Reason, str], None]


def broker_life(broker: Broker, context: ssl.SSLContext, server_name: str) -> Life:
    """The life of the certificate that `broker` shows now. Blocking, some seconds at most.

    Raises OSError, of which ssl.SSLError is one, where there is no broker of that name.
    """
    with (
        socket.create_connection((broker.host, broker.port), CONNECT_S) as plain,
        context.wrap_socket(plain, server_hostname=server_name) as secured,
    ):
        der = secured.getpeercert(binary_form=True)
    if der is None:  # no context of ours lets a server be without
        raise ssl.SSLError("a broker without a certificate")
    return Life.of(x509.load_der_x509_certificate(der))


def end_said(life: Life | None, server_name: str, now: datetime) -> str:
    """What there is to say of the broker's certificate, None for one that has ended: OpenSSL shows
    it to nobody. Empty where its end is far.
    """
    do = renewal(server_name)
    if life is None:
        return f"the certificate of {server_name} has ended: {do}"
    return BroughtCertificate(server_name, lambda: life, do).said(now)


async def watch_broker_end(
    broker: Broker, server_name: str, context: Callable[[], ssl.SSLContext | None], told: Told
) -> None:
    """Forever: look once a day, and where its end is near say so in the log and to `told`.

    `context` is asked for what trusts the broker at that moment, and says None while nothing does.
    """
    while True:
        with_what = context()
        if with_what is None:
            await asyncio.sleep(RETRY_S)
            continue
        life: Life | None = None
        try:
            life = await asyncio.to_thread(broker_life, broker, with_what, server_name)
        except (OSError, ValueError) as error:
            if getattr(error, "verify_code", 0) != ENDED:
                await asyncio.sleep(RETRY_S)
                continue
        if said := end_said(life, server_name, datetime.now(UTC)):
            log.warning("%s", said)
            told(Reason.CERTIFICATE_ENDING, said)
        await asyncio.sleep(AGAIN.total_seconds())
