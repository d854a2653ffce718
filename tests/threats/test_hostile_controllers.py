"""N239: a controller, or gateways, whose answers are none: every command of an operator's refuses
them in words, steers no terminal, and writes no file where it was not told to.
"""

import base64
import json
import shutil
import tempfile
import time
import zlib
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from google.protobuf.message_factory import GetMessageClass

from framegate.errors import FramegateError, Malformed, Reason
from framegate.identity.pem import private_pem
from framegate_host.console import Terminal
from framegate_host.private_files import write_private
from framegate_operator import connection, contexts, people
from framegate_operator.contexts import OperatorContext
from framegate_operator.receipt_export import _pages
from framegate_operator.record_answers import entry_of
from framegate_proto.v1 import framegate_pb2 as pb
from framegate_simulators.attack.worst_answers import KINDS, STEERS, worst_answer
from support.command_walk import leaves, run_each
from support.hostile_server import HostileStubs, no_channel
from support.registries import Registry

ENDLESS = {"framegate top", "framegate witness run"}
STEERING = ("\x1b", "\x07", "\u202e")
OWN_LINE = ("all is well", "[bold]all is well")


@pytest.fixture(scope="module")
def registry(tmp_path_factory) -> Registry:
    return Registry(tmp_path_factory.mktemp("known") / "controller")


@pytest.fixture
def folder(registry, monkeypatch):
    """A folder of an operator's who is signed in at a controller that answers as `stubs` do."""
    folder = Path(tempfile.mkdtemp(prefix="fg-hostile-"))
    root = registry.keys.root.pem.decode()
    context = {
        "join_address": "127.0.0.1:1",
        "fleet_address": "127.0.0.1:1",
        "server_name": "controller.plant.framegate",
        "root": root,
        "operator": "anna",
        "expires_ms": int(time.time() * 1000) + 3_600_000,
        "certificate": root,
        "key": private_pem(ec.generate_private_key(ec.SECP256R1())).decode(),
        "authorities": root,
    }
    (folder / "session.json").write_text(json.dumps(context))
    (folder / "file").write_text("{}\n")
    monkeypatch.setattr(connection, "_channel", no_channel)
    monkeypatch.setattr(contexts, "FOLDER", folder / "config")
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("FRAMEGATE_CONTEXT", str(folder / "context.json"))
    monkeypatch.chdir(folder)
    yield folder
    shutil.rmtree(folder)


def commands():
    return [v for v in leaves() if v.program == "framegate" and str(v) not in ENDLESS]


def argv_of(leaf, folder: Path) -> list[str]:
    words = [str(folder / "file") if w == "/nonexistent/file" else w for w in leaf.argv({})]
    sure = any("--yes" in getattr(p, "opts", ()) for p in leaf.parameters)
    return [*words, "--yes"] if sure else words


def walked(folder: Path, monkeypatch, kinds):
    """(command, kind, how it ended) where each command is answered with the kinds that `kinds` says
    for it.
    """
    stubs = HostileStubs()
    monkeypatch.setattr(connection, "_stubs", lambda: stubs)
    session = (folder / "session.json").read_bytes()

    def before() -> None:  # commands sign out, and forget
        write_private(folder / "context.json", session)

    for name, kind in KINDS.items():
        stubs.kind = kind
        asked = [leaf for leaf in commands() if name in kinds(leaf)]
        ends = run_each("framegate", [argv_of(v, folder) for v in asked], folder, before=before)
        yield from ((str(leaf), name, done) for leaf, done in zip(asked, ends, strict=True))


def faults_of(done) -> list[str]:
    said = done.out + done.err
    found = [f"a traceback: {done.err[-900:]}"] if "Traceback" in said else []
    found += ["it did not end by itself"] if done.code < 0 or done.code in {97, 98, 99} else []
    found += [f"it steers: {said[:300]!a}"] if any(s in said for s in STEERING) else []
    lines = said.splitlines()
    return found + ([f"a line of theirs: {said[:300]!a}"] if _has_own(lines) else [])


def _has_own(lines: list[str]) -> bool:
    return any(line.startswith(OWN_LINE) for line in lines)


def require_none(rows, least: int) -> None:
    seen, told = 0, []
    for command, kind, done in rows:
        seen += 1
        told += [f"{command}, answered with {kind}: {fault}" for fault in faults_of(done)]
    assert not told, "\n\n".join(told)
    assert seen >= least


@pytest.mark.slow
def test_n239_no_answer_steers_a_terminal_or_ends_a_command_in_an_error_of_ours(
    folder, monkeypatch
):
    """Each command with one of the kinds."""
    names = sorted(KINDS)
    chosen = lambda leaf: {names[zlib.crc32(str(leaf).encode()) % len(names)]}  # noqa: E731
    require_none(walked(folder, monkeypatch, chosen), 200)


@pytest.mark.plants
def test_n239_nor_does_any_answer_of_any_kind(folder, monkeypatch):
    require_none(walked(folder, monkeypatch, lambda _: set(KINDS)), 1_200)


def test_n239_every_message_of_every_service_can_be_made_worst():
    """Of the walk itself: what it answers with has members that are set."""
    methods = [m for s in pb.DESCRIPTOR.services_by_name.values() for m in s.methods]
    for kind in KINDS.values():
        for method in methods:
            made = worst_answer(method.output_type, kind)
            again = GetMessageClass(method.output_type).FromString(made.SerializeToString())
            assert made.DESCRIPTOR is again.DESCRIPTOR
    steered = worst_answer(pb.AccessReply.DESCRIPTOR, KINDS["steers"])
    assert steered.rows[1].requester == STEERS and steered.rows[1].until_ms == 2**64 - 1


@pytest.mark.parametrize("text", [STEERS, "[/nothing]", "[red]\x1b[2J[/nothing]", "a\rb", "\x9b2J"])
def test_n239_what_is_printed_steers_nothing_whatever_it_is(text, capsys):
    Terminal(highlight=False, soft_wrap=True, force_terminal=False).print(text)
    said = capsys.readouterr().out
    assert all(c.isprintable() or c == "\n" for c in said) and said.strip()


def entry(**members) -> bytes:
    return json.dumps({"index": 1, "at_ms": 1, "kind": "event", **members}).encode()


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"[]",
        b"{}",
        b'{"index": 1, "index": 1, "at_ms": 1, "kind": "event"}',
        b'{"index": ' + b"9" * 5_000 + b', "at_ms": 1, "kind": "event"}',
        entry(index=-1),
        entry(index=2**63),
        entry(index="1"),
        entry(index=True),
        entry(at_ms=1.5),
        entry(kind=None),
        entry(event=7),
        entry(actor=[]),
        entry(device={}),
        entry(approved_by="anna"),
        entry(policies=[1]),
        entry(members=[]),
        entry(members=None),
    ],
)
def test_n239_what_is_no_entry_is_refused(raw):
    with pytest.raises(Malformed):
        entry_of(raw)


def test_n239_what_is_one_is_read():
    said = {"event": "denied", "actor": "operator.anna", "approved_by": ["sven"], "members": {}}
    assert entry_of(entry(**said)) == {"index": 1, "at_ms": 1, "kind": "event", **said}


@pytest.mark.parametrize("name", ["../planted", "/tmp/planted", "a/b", "", ".", "\x00", "Anna"])
def test_n239_a_persons_name_leads_to_no_other_file(registry, folder, name):
    reply = operator_named(name, registry)
    before = sorted(folder.rglob("*"))
    with pytest.raises(FramegateError):
        people._give(known(registry, folder), reply, None, "json")
    assert sorted(folder.rglob("*")) == before


def test_n239_another_persons_context_has_the_root_that_is_known_here(registry, folder, tmp_path):
    other = Registry(tmp_path / "other", another=True)
    reply = operator_named("eve", other)
    with pytest.raises(FramegateError) as caught:
        people._give(known(registry, folder), reply, None, "json")
    assert caught.value.reason == Reason.CERTIFICATE and not (folder / "eve.json").exists()
    reply.root = registry.keys.root.der
    people._give(known(registry, folder), reply, None, "json")
    assert (folder / "eve.json").exists()


def operator_named(name: str, registry: Registry) -> pb.OperatorReply:
    reply = pb.OperatorReply(root=registry.keys.root.der)
    reply.operator.name = name
    return reply


@pytest.mark.parametrize("moved", [(0, 0), (0, 1), (1, 0)], ids=["same", "newer", "later"])
def test_n239_a_gateway_whose_pages_never_end_is_left(moved):
    """Receipts are asked for page after page, each of what is older than the last."""
    asked: list[pb.ReceiptsRequest] = []

    class Endless:
        def Receipts(self, request, *, stream):
            asked.append(request)
            at = len(asked) if any(moved) else 0
            leaf = {"iat_ms": 1_000 + at * moved[0], "sequence_number": 5 + at * moved[1]}
            raw = {"leaf": base64.b64encode(json.dumps(leaf).encode()).decode()}
            return [pb.ReceiptReply(receipt=json.dumps(raw).encode())] * request.limit

    with pytest.raises(Malformed):
        for number, _ in enumerate(_pages(Endless(), pb.ReceiptsRequest(), 10**9)):
            assert number < 5_000
    assert 1 < len(asked) <= 3


def known(registry: Registry, folder: Path) -> OperatorContext:
    root = registry.keys.root.pem
    return OperatorContext(folder / "context.json", "j", "f", "s", root, "anna")
