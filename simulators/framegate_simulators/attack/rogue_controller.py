"""N239: a controller that was taken over answers operators with what is no answer."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Final

import grpc
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from framegate.identity.pem import private_pem
from framegate_controller.ca.issue import issue_server
from framegate_host.private_files import write_private
from framegate_proto.v1 import framegate_pb2 as pb
from framegate_simulators.attack.target import Seen, Target, attempt
from framegate_simulators.attack.worst_answers import KINDS, STEERING, Kind, worst_answer

ASKED: Final = (
    ("status",),
    ("fleet",),
    ("camera", "list"),
    ("camera", "show", "cam1"),
    ("access", "list"),
    ("access", "show", "1"),
    ("audit", "list"),
    ("incident", "list"),
    ("incident", "show", "1"),
    ("kpi",),
    ("doctor",),
    ("model", "show", "1"),
    ("verdict", "list"),
    ("playbook", "list"),
    ("operator", "list"),
    ("operator", "roles", "eve", "viewer"),
)
SERVICE: Final = "Operator"


class Rogue(grpc.GenericRpcHandler):
    """Answers every call of the operators' service with one kind of answer."""

    def __init__(self) -> None:
        self.kind: Kind = KINDS["nothing"]

    def service(self, details: Any) -> grpc.RpcMethodHandler[Any, Any] | None:
        """See `GenericRpcHandler`."""
        _, service, name = details.method.split("/")
        method = pb.DESCRIPTOR.services_by_name[service.rpartition(".")[2]].methods_by_name[name]

        def one(_request: bytes, _context: Any) -> bytes:
            return worst_answer(method.output_type, self.kind).SerializeToString()

        def many(request: bytes, context: Any) -> Iterator[bytes]:
            yield from (one(request, context) for _ in range(2))

        if method.server_streaming:
            return grpc.unary_stream_rpc_method_handler(many)
        return grpc.unary_unary_rpc_method_handler(one)


@contextmanager
def serving(t: Target, rogue: Rogue) -> Iterator[int]:
    """The rogue, with a certificate of the fleet's controller; its port."""
    key = ec.generate_private_key(ec.SECP256R1())
    leaf = issue_server(t.keys, "controller", key.public_key(), datetime.now(UTC))
    chain = leaf.public_bytes(Encoding.PEM) + t.keys.issuing["server-ca"].pem
    tls = grpc.ssl_server_credentials([(private_pem(key), chain)])
    server = grpc.server(ThreadPoolExecutor(4), handlers=[rogue])
    port = server.add_secure_port("127.0.0.1:0", tls)
    server.start()
    try:
        yield port
    finally:
        server.stop(0)


@attempt("N239", "a controller that was taken over, before an operator's commands")
def n239(t: Target) -> Seen:
    t.sign_in_again()
    rogue, faults, asked = Rogue(), list[str](), 0
    own = json.loads(t.plant.context.read_text())
    context = t.plant.folder / "rogue-context.json"
    with serving(t, rogue) as port:
        for kind in ("steers", "names", "digits"):
            rogue.kind = KINDS[kind]
            for words in ASKED:
                text = json.dumps({**own, "fleet_address": f"127.0.0.1:{port}"})
                write_private(context, text.encode())
                done = t.plant.command("framegate", *words, check=False, context=context)
                said, asked = done.stdout + done.stderr, asked + 1
                if "Traceback" in said or any(s in said for s in STEERING):
                    faults.append(f"{' '.join(words)}, {kind}")
    told = f"{len(faults)} of {asked} commands were steered or ended in an error of ours"
    return Seen(not faults, f"{told}{': ' * bool(faults)}{'; '.join(faults[:3])}")
