"""N225, N229: whoever hangs up while their call waits for a thread kills nobody: what a call says
of its peer is read when it begins, for gRPC's own context reads through a null pointer after its
end.
"""

import ast
import asyncio
import subprocess
import threading
from pathlib import Path

import grpc
import pytest

import framegate_controller
import framegate_gateway
from framegate.identity.certificates import Purpose
from framegate_controller.rpc.table import Operators
from framegate_gateway.backend.process import MAX_OF_ONE
from framegate_gateway.backend.serving import MAX_WAITING
from framegate_host.child_process import OWN_PYTHON
from framegate_proto.call_context import CallContext
from framegate_proto.v1 import framegate_pb2 as pb
from framegate_proto.v1 import framegate_pb2_grpc as rpc
from support.fleet_port import channel, credentials
from support.waiting import until

WAIT_S = 30.0

HANGS_UP = """
import asyncio, sys
import grpc
from framegate_proto.call_context import OutlivingContexts

kept, over = [], asyncio.Event()

async def held(request, context):
    kept.append(context)
    try:
        await asyncio.sleep(60)
    finally:
        over.set()

async def streamed(request, context):
    kept.append(context)
    try:
        yield b"one"
        await asyncio.sleep(60)
    finally:
        over.set()

async def main(ours, kind):
    server = grpc.aio.server(interceptors=(OutlivingContexts(),) if ours else ())
    make = getattr(grpc, f"{kind}_rpc_method_handler")
    method = held if kind.endswith("unary") else streamed
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("t.T", {"Call": make(method)}),)
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        argument = b"" if kind.startswith("unary") else iter([b""])
        call = getattr(channel, kind)("/t.T/Call")(argument, metadata=(("k", "v"),))
        while not kept:
            await asyncio.sleep(0)
        call.cancel()
        await over.wait()
        await server.stop(5)  # waits until every call is let go
    (context,) = kept
    sys.stdout.write("ended\\n")
    sys.stdout.flush()
    assert context.peer().startswith("ipv4:127.0.0.1:"), context.peer()
    assert "transport_security_type" in context.auth_context()
    assert dict(context.invocation_metadata())["k"] == "v"
    print("told")

asyncio.run(main(sys.argv[1] == "ours", sys.argv[2]))
"""


def after_the_end(whose: str, kind: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*OWN_PYTHON, "-c", HANGS_UP, whose, kind],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize("kind", ["unary_unary", "unary_stream", "stream_unary", "stream_stream"])
def test_n229_a_context_outlives_its_call(kind):
    done = after_the_end("ours", kind)
    assert (done.returncode, done.stdout.split()) == (0, ["ended", "told"]), done.stderr[-2000:]


def test_n229_grpcs_own_does_not():
    """Why there is a context of ours: should gRPC mend this, it can go."""
    done = after_the_end("theirs", "unary_unary")
    assert (done.returncode, done.stdout.split()) == (-11, ["ended"])


async def test_n229_an_operator_who_hangs_up_before_a_thread_is_free_kills_no_controller(
    controller, monkeypatch
):
    running, fleet = controller
    begun, gone, over = threading.Event(), threading.Event(), threading.Event()
    performed = Operators._perform
    came = []

    def late(self, verb, request, context):
        begun.set()
        assert gone.wait(WAIT_S)
        try:
            return performed(self, verb, request, context)
        except Exception as error:
            came.append(error)
            raise
        finally:
            over.set()

    monkeypatch.setattr(Operators, "_perform", late)
    pair = credentials(fleet, "operator-ca", Purpose.OPERATOR, "operator.anna")
    async with channel(running, fleet, pair) as opened:
        call = rpc.OperatorStub(opened).WhoAmI(pb.WhoAmIRequest())
        connecting = asyncio.ensure_future(call.wait_for_connection())
        assert await asyncio.to_thread(begun.wait, WAIT_S)
        call.cancel()
        await asyncio.wait({connecting})
        with pytest.raises(asyncio.CancelledError):
            await call
        ended = running.metrics.calls.ended
        await until(lambda: ended["Operator.WhoAmI", "cancelled"] == 1)
        gone.set()
        assert await asyncio.to_thread(over.wait, WAIT_S)
        monkeypatch.setattr(Operators, "_perform", performed)
        with pytest.raises(grpc.aio.AioRpcError):  # refused, as nobody signed in: it is alive
            await rpc.OperatorStub(opened).WhoAmI(pb.WhoAmIRequest(), timeout=WAIT_S)
    assert len(came) == 1, "judged by who had asked, though they had gone"


def test_n229_what_grpc_would_read_from_the_call_is_not_asked():
    class Context:
        def peer(self):
            return "ipv4:127.0.0.1:1"

        def auth_context(self):
            return {}

        def invocation_metadata(self):
            return None

        def code(self):
            return 7

    context = CallContext(Context())
    assert (context.code(), context.invocation_metadata()) == (7, ())
    for name in ("peer_identities", "peer_identity_key"):
        with pytest.raises(AttributeError):
            getattr(context, name)


def servers() -> list[tuple[Path, ast.Call]]:
    """Each server over gRPC of the product: where, and how it is made."""
    calls = []
    for package in (framegate_controller, framegate_gateway):
        for file in sorted(Path(package.__file__).parent.rglob("*.py")):
            text = file.read_text()
            if "grpc.aio.server(" not in text:
                continue
            calls += [
                (file.parent.relative_to(Path(package.__file__).parents[1]), node)
                for node in ast.walk(ast.parse(text))
                if isinstance(node, ast.Call) and ast.unparse(node.func) == "grpc.aio.server"
            ]
    return calls


BESIDE = {
    "framegate_controller/rpc/fleet_front.py": "OutlivingContexts(), ThroughFront(",
    "framegate_gateway/server.py": "beside = (OutlivingContexts(), ",
    "framegate_gateway/backend/process.py": "beside = (OutlivingContexts(), ",
}
"""Where what every call of a server passes is put together, and how that begins."""


def beside_of(module: str) -> str:
    """That line's text."""
    text = (Path(framegate_controller.__file__).parents[1] / module).read_text()
    (line,) = (line for line in text.splitlines() if BESIDE[module] in line)
    return line


def test_n229_every_server_has_contexts_that_outlive_calls():
    assert len(servers()) >= 4
    for where, call in servers():
        given = {k.arg: ast.unparse(k.value) for k in call.keywords}
        assert given.get("interceptors") in {"beside", "(OutlivingContexts(),)"}, where
    assert all(beside_of(module) for module in BESIDE)


def test_n225_no_server_for_many_is_without_shares():
    """But where strangers are counted by their network."""
    without = {
        str(where)
        for where, call in servers()
        if "beside" not in {ast.unparse(k.value) for k in call.keywords}
    }
    assert without == {"framegate_controller/joinport"}
    assert all("CallerShares(" in beside_of(module) for module in BESIDE)
    assert 2 * MAX_OF_ONE <= MAX_WAITING, "two gateways have a place at a model server"
