"""What every call of a server passes, in one layer."""

import asyncio
import contextlib

import grpc
import pytest

from framegate.errors import Reason, Refused
from framegate_proto.call_context import Called, InOne, OutlivingContexts, PassedContexts
from framegate_proto.call_times import CallTimes

PATH = "/framegate.v1.Fleet/Begin"
KINDS = ["unary_unary", "stream_unary", "unary_stream", "stream_stream"]


class Details:
    def __init__(self, method=PATH) -> None:
        self.method = method


class Context:
    """gRPC's, whose call ends by `abort`."""

    def __init__(self) -> None:
        self.ended = None

    def peer(self):
        return "ipv4:127.0.0.1:1"

    def auth_context(self):
        return {}

    def invocation_metadata(self):
        return (("k", "v"),)

    def code(self):
        return self.ended

    async def abort(self, code, _details, trailing_metadata=()):
        self.ended = code
        raise grpc.aio.AbortError


class Passage:
    """Notes when calls begin and end; gives its name and what it was given, or refuses."""

    def __init__(self, name, seen, *, refuses=False) -> None:
        self.name, self.seen, self.refuses = name, seen, refuses

    @contextlib.contextmanager
    def __call__(self, context, called):
        if self.refuses:
            raise Refused.of(Reason.TOO_MANY_TRIES, "few", "more")
        self.seen.append((self.name, called))
        given = Context()
        given.names = (*getattr(context, "names", ()), self.name)
        try:
            yield given
        finally:
            self.seen.append((self.name, "over"))


def handler_of(kind, seen):
    async def one(_request, context):
        seen.append(context.names)
        return b"x"

    async def many(_request, context):
        seen.append(context.names)
        yield b"x"
        yield b"y"

    method = one if kind.endswith("unary") else many
    return getattr(grpc, f"{kind}_rpc_method_handler")(method), kind


async def through(interceptor, handler, details=None):
    async def found(_details):
        return handler

    return await interceptor.intercept_service(found, details or Details())


async def run(handler, kind, context):
    method = getattr(handler, kind)
    if kind.endswith("unary"):
        return [await method(b"", context)]
    return [item async for item in method(b"", context)]


@pytest.mark.parametrize("kind", KINDS)
async def test_the_first_is_outermost_and_each_is_given_what_the_one_before_gave(kind):
    seen = []
    handler, _ = handler_of(kind, seen)
    parts = InOne(PassedContexts(Passage("a", seen), Passage("b", seen)), PassedContexts())
    parts = InOne(parts, PassedContexts(Passage("c", seen)))
    answers = await run(await through(parts, handler), kind, Context())
    called = Called(PATH, kind != "unary_unary")
    begun, (names, *over) = seen[:3], seen[3:]
    assert begun == [("a", called), ("b", called), ("c", called)]
    assert names == ("a", "b", "c")
    assert over == [("c", "over"), ("b", "over"), ("a", "over")]
    assert answers == ([b"x"] if kind.endswith("unary") else [b"x", b"y"])


@pytest.mark.parametrize("kind", KINDS)
async def test_a_call_that_one_refuses_never_begins_and_is_over_for_those_before(kind):
    seen = []
    handler, _ = handler_of(kind, seen)
    parts = PassedContexts(Passage("a", seen), Passage("b", seen, refuses=True), Passage("c", seen))
    with pytest.raises(grpc.aio.AbortError):
        await run(await through(parts, handler), kind, Context())
    assert [name for name, _ in seen] == ["a", "a"]


@pytest.mark.parametrize(
    ("raised", "outcome"), [(grpc.aio.AbortError(), "refused"), (ValueError(), "failed")]
)
async def test_how_a_call_ends_is_counted_though_one_after_it_refuses(raised, outcome):
    times = CallTimes(lambda _seconds, _service: None)

    @contextlib.contextmanager
    def ends(context, _called):
        context.ended = grpc.StatusCode.RESOURCE_EXHAUSTED
        raise raised
        yield

    handler, kind = handler_of("unary_unary", [])
    parts = InOne(times, PassedContexts(ends))
    with pytest.raises(type(raised)):
        await run(await through(parts, handler), kind, Context())
    assert times.ended == {("Fleet.Begin", outcome): 1}


@pytest.mark.parametrize("refuses", [False, True])
async def test_where_one_fails_at_the_end_those_before_end_as_well(refuses):
    seen = []

    @contextlib.contextmanager
    def fails(context, _called):
        yield context
        raise ValueError

    handler, kind = handler_of("unary_unary", [])
    last = Passage("c", seen, refuses=refuses)
    parts = PassedContexts(Passage("a", seen), fails, Passage("b", seen), last)
    with pytest.raises(grpc.aio.AbortError if refuses else ValueError):
        await run(await through(parts, handler), kind, Context())
    assert seen[-1] == ("a", "over")
    assert ("b", "over") in seen


async def test_what_nobody_serves_is_counted_by_whoever_counts():
    times = CallTimes(lambda _seconds, _service: None)
    for number in range(1, 4):
        made_up = Details(f"/x/{number}")
        assert await through(InOne(OutlivingContexts(), times), None, made_up) is None
        assert times.ended == {("other", "refused"): number}


async def test_a_handler_is_wrapped_once_and_another_anew():
    interceptor = InOne(OutlivingContexts(), PassedContexts())
    first, _ = handler_of("unary_unary", [])
    other, _ = handler_of("unary_unary", [])
    wrapped = await through(interceptor, first)
    assert await through(interceptor, first) is wrapped
    assert await through(interceptor, first, Details(PATH.encode())) is wrapped
    anew = await through(interceptor, other)
    assert anew is not wrapped
    assert await through(interceptor, first, Details("/framegate.v1.Fleet/Watch")) is not wrapped


class Panic(BaseException):
    """What a library of Rust raises that panics: pyo3's is no Exception either."""


def failing(kind, fault):
    async def one(_request, _context):
        raise fault

    async def many(_request, _context):
        yield b"x"
        raise fault

    method = one if kind.endswith("unary") else many
    return getattr(grpc, f"{kind}_rpc_method_handler")(method)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_call_whose_handler_panics_is_ended_and_over(kind):
    seen, context = [], Context()
    parts = InOne(OutlivingContexts(), PassedContexts(Passage("a", seen)))
    handler = await through(parts, failing(kind, Panic("over somebody's bytes")))
    with pytest.raises(grpc.aio.AbortError):
        await run(handler, kind, context)
    assert seen[-1] == ("a", "over")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("ends", [asyncio.CancelledError(), SystemExit(1), KeyError("ours")])
async def test_what_ends_a_task_or_a_program_goes_on_as_it_is(kind, ends):
    context = Context()
    handler = await through(InOne(OutlivingContexts()), failing(kind, ends))
    with pytest.raises(type(ends)) as caught:
        await run(handler, kind, context)
    assert caught.value is ends and context.ended is None


async def test_a_caller_is_told_of_a_panic_at_once_and_not_at_its_deadline():
    server = grpc.aio.server(interceptors=(InOne(OutlivingContexts()),))
    calls = {kind: failing(kind, Panic("over somebody's bytes")) for kind in KINDS}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("t.T", calls),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            for kind in KINDS:
                call = getattr(channel, kind)(f"/t.T/{kind}")
                request = b"" if kind.startswith("unary") else iter([b""])
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    answer = call(request)
                    if kind.endswith("unary"):
                        await answer
                    else:
                        _ = [item async for item in answer]
                assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    finally:
        await server.stop(None)
