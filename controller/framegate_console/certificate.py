"""The plant's own certificate of the console: loaded, exchanged while it serves, told before it
ends.
"""

from __future__ import annotations

import logging
import ssl
from pathlib import Path
from typing import Final

from cryptography import x509

from framegate_host.certificate_end import BroughtCertificate, Life

log = logging.getLogger(__name__)
_CHAIN: Final = "console.pem"
_KEY: Final = "console.key"


def server_tls(folder: Path) -> ssl.SSLContext:
    """TLS with the certificate in `folder`. Raises OSError, ssl.SSLError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(folder / _CHAIN, folder / _KEY)
    return context


def take_chain(tls: ssl.SSLContext, folder: Path) -> None:
    """The certificate in `folder` as it is now, for every connection from here on. One that cannot
    be used changes nothing, and is told.
    """
    try:
        server_tls(folder)  # a key that is not this certificate's would spoil the one that serves
        tls.load_cert_chain(folder / _CHAIN, folder / _KEY)
    except (OSError, ssl.SSLError) as error:
        log.error("the certificate in %s is no good, that of before serves: %s", folder, error)


def brought(folder: Path) -> BroughtCertificate:
    """The certificate in `folder`, as something that ends. Raises OSError, ValueError where it is
    none, as `server_tls` does.
    """
    life = life_of(folder)

    def now() -> Life:
        nonlocal life
        try:
            life = life_of(folder)
        except (OSError, ValueError) as error:
            log.error("the certificate in %s is no good any more: %s", folder, error)
        return life

    do = f"bring the next one to {folder}, then systemctl reload framegate-console"
    return BroughtCertificate(f"the console in {folder}", now, do)


def life_of(folder: Path) -> Life:
    """Of the certificate in `folder`. Raises OSError, ValueError."""
    return Life.of(x509.load_pem_x509_certificates((folder / _CHAIN).read_bytes())[0])
