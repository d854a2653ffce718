"""N228: connections that say nothing, at a gateway's ports and a model server's: gRPC takes them
before TLS, and each is a descriptor that receipts, children and cameras need.
"""

import socket
from pathlib import Path

import grpc
import pytest

from framegate.identity.pem import private_pem
from framegate_gateway.backend.process import SERVER_OPTIONS as BACKEND_OPTIONS
from framegate_gateway.ports.options import DESCRIPTORS, MAX_CONNECTIONS, SERVER_OPTIONS
from support.waiting import until

MOST = "grpc.max_allowed_incoming_connections"
FEW = 8


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def hung_up(connection: socket.socket) -> bool:
    """Whether the server's end is closed: it says nothing by itself before that."""
    try:
        return connection.recv(1) == b""
    except BlockingIOError:
        return False
    except ConnectionError:
        return True


@pytest.mark.parametrize("options", [SERVER_OPTIONS, BACKEND_OPTIONS], ids=["gateway", "backend"])
async def test_n228_silent_connections_take_so_many_descriptors_and_no_more(keys, options):
    few = tuple((name, FEW if name == MOST else value) for name, value in options)
    server = grpc.aio.server(options=few)
    ca = keys.issuing["gateway-ca"]
    pair = (private_pem(ca.key), ca.pem)
    credentials = grpc.ssl_server_credentials([pair], ca.pem, require_client_auth=True)
    port = server.add_secure_port("127.0.0.1:0", credentials)
    await server.start()
    before, silent = descriptors(), []
    for _ in range(5 * FEW):
        connection = socket.create_connection(("127.0.0.1", port), 30)
        connection.setblocking(False)
        silent.append(connection)
    gone: set[int] = set()

    def most_are_gone() -> bool:
        gone.update(n for n, each in enumerate(silent) if n not in gone and hung_up(each))
        return len(gone) >= 4 * FEW

    await until(most_are_gone)
    assert descriptors() - before - len(silent) <= 2 * FEW, "and what its poller has"
    for each in silent:
        each.close()
    await server.stop(0)


def test_n228_a_gateway_may_have_more_descriptors_than_its_ports_take():
    ports = 3  # frames, operators, inference
    assert ports * MAX_CONNECTIONS + 1_000 <= DESCRIPTORS
    assert dict(SERVER_OPTIONS)[MOST] == MAX_CONNECTIONS
    assert dict(BACKEND_OPTIONS)[MOST] + 500 <= 1_024, "what a service has by default"
