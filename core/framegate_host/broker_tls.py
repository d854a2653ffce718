"""TLS towards the fleet's MQTT broker, as agents, gateways and line adapters use it."""

from __future__ import annotations

import os
import ssl


def named_context(server_name: str) -> NamedContext:
    """TLS 1.3 to the broker whose certificate is for `server_name`.

    The caller MUST still load the authorities that it trusts, and its own certificate and key.
    """
    context = NamedContext(ssl.PROTOCOL_TLS_CLIENT)
    context.server_name = server_name
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context


def broker_context(server_name: str, server_ca: bytes, chain: bytes) -> ssl.SSLContext:
    """TLS 1.3 to the broker whose certificate `server_ca` (PEM) issued for `server_name`.

    As the client whose private key and chain are in `chain` (PEM), out of memory.
    """
    context = named_context(server_name)
    context.load_verify_locations(cadata=server_ca.decode())
    # ssl reads keys from files only; an anonymous memory file never touches a disk and ends with
    # this block
    descriptor = os.memfd_create("framegate", os.MFD_CLOEXEC)
    try:
        os.write(descriptor, chain)
        context.load_cert_chain(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)
    return context


class NamedContext(ssl.SSLContext):
    """Checks the broker's certificate for its fleet name, whatever address it is reached by."""

    server_name: str

    def wrap_socket(self, sock, *args, **kwargs):  # type: ignore[no-untyped-def]
        """As the base class, with the fleet's name."""
        kwargs["server_hostname"] = self.server_name
        return super().wrap_socket(sock, *args, **kwargs)
