"""A part that is new to the fleet counts once somebody says where it is from; rules of another
stay as they are.
"""

import contextlib
import json
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from framegate.errors import Reason, Refused, Unavailable
from framegate_operator import part_learning, part_types
from framegate_operator.part_learning import LearntPart
from framegate_operator.part_types import Asked, SeenType, awaited_unknown
from framegate_operator.parts import app

GW = ("gateway.line-1.gw1", "127.0.0.1:1")
FACTS = {
    "used": 12,
    "left_out": [],
    "largest_shift_px": 1.0,
    "differing_share": 0.0,
    "most_tolerated": 0,
    "tolerant_percent": 3,
    "outline": [],
}


class Fleet:
    """A controller that knows `known`, and a gateway that learns whatever it is asked to."""

    def __init__(self, *known: str) -> None:
        self.known, self.added, self.learnt = known, [], 0

    def ListParts(self, _request):
        return SimpleNamespace(parts=[SimpleNamespace(part_type=k) for k in self.known])

    def AddPart(self, request):
        self.added.append(request)
        return SimpleNamespace(part_type=request.part_type, version=1)

    def LearnGolden(self, _request):
        self.learnt += 1
        return SimpleNamespace(image=b"\x89PNG", facts=json.dumps(FACTS).encode())


@pytest.fixture
def fleet(monkeypatch, tmp_path):
    made = Fleet("old")

    @contextlib.contextmanager
    def stub(*_arguments, **_more):
        yield made

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(part_learning, "load_context", lambda _: None)
    monkeypatch.setattr(part_learning, "one_gateway", lambda *_: GW)
    monkeypatch.setattr(part_learning, "operator_stub", stub)
    monkeypatch.setattr(part_learning, "gateway_stub", stub)
    monkeypatch.setattr(part_types, "ask_types", lambda *_: seen("new", "old"))
    monkeypatch.setattr(part_learning, "with_approval", lambda *given: given[4](given[3]))
    return made


def learn(*words: str, code: int = 0) -> str:
    done = CliRunner().invoke(app, ["learn", *words])
    assert done.exit_code == code, done.stderr
    return " ".join(done.stderr.split())


def test_with_a_source_a_new_part_counts_at_once(fleet):
    told = learn("new", "--source", "lot 12")
    (request,) = fleet.added
    assert (request.part_type, request.source, list(request.goldens)) == (
        "new",
        "lot 12",
        [b"\x89PNG"],
    )
    assert json.loads(request.rules)["tolerant_percent"] == 3
    assert "part new is in force, version 1" in told and "framegate verdict watch" in told


def test_nobody_is_asked_without_a_terminal_and_the_command_for_later_is_told(fleet):
    told = learn("new")
    assert not fleet.added
    assert "framegate part add new --golden new.png --tolerant 3 --source TEXT" in told


@pytest.mark.parametrize(("answer", "counts"), [("lot 12", True), ("", False), ("  ", False)])
def test_at_a_terminal_the_answer_decides(fleet, monkeypatch, answer, counts):
    monkeypatch.setattr(part_learning, "_at_a_terminal", lambda: True)
    monkeypatch.setattr(part_learning, "ask", lambda *_, **__: answer)
    learn("new")
    assert [r.source for r in fleet.added] == (["lot 12"] if counts else [])


def test_the_rules_of_a_part_that_is_known_are_not_lost(fleet):
    refused = learn("old", "--source", "lot 12", code=5)
    assert "new to the fleet" in refused and "framegate part add --keep" in refused
    assert not fleet.added and not fleet.learnt, "nothing was begun"
    told = learn("old")
    assert "framegate part add old" in told and "--keep --source" in told and not fleet.added


@pytest.mark.parametrize(
    ("types", "told"),
    [
        (("new", "old"), "; it saw new, old"),
        ((), ", nor any other"),
        (("n\x1b[2J",), "; it saw n"),
    ],
)
def test_a_type_that_nobody_sees_is_told_before_it_is_waited_for(fleet, monkeypatch, types, told):
    monkeypatch.setattr(part_types, "ask_types", lambda *_: seen(*types))
    said = learn("nwe")
    assert f"no nwe among its last 500 verdicts{told}" in said and "\x1b" not in said
    assert fleet.learnt == 1, "it is waited for all the same"


def test_a_type_that_is_seen_or_that_nobody_can_tell_of_is_not_called_unseen(fleet, monkeypatch):
    assert "among its last" not in learn("new")
    monkeypatch.setattr(part_types, "ask_types", lambda *_: Asked((), whole=False))
    assert "among its last" not in learn("nwe")
    assert "among its last" not in learn("nwe", "--verdict", "ab")


def test_a_dry_run_writes_and_adds_nothing(fleet, tmp_path):
    learn("new", "--source", "lot 12", "--dry-run")
    assert not fleet.added and not list(tmp_path.iterdir())


def test_names_that_a_shell_would_take_apart_are_quoted(tmp_path):
    part = LearntPart("my part", tmp_path / "a b.png", tmp_path / "a b.outline.toml", 0, False)
    assert "--golden '" in part.adding and "add 'my part'" in part.adding
    assert "--outline '" in part.adding and "--tolerant" not in part.adding


def seen(*names: str) -> Asked:
    return Asked(tuple(SeenType(n, 1, 1, True) for n in names), whole=True)


@pytest.fixture
def looks(monkeypatch):
    """What a gateway says from look to look, and a clock that each look moves on."""
    answers, now = [], [0.0]
    monkeypatch.setattr(part_types, "ask_types", lambda *_: answers.pop(0))

    def sleep(seconds):
        now[0] += seconds

    # the module's clock alone: whatever thread there is sleeps by time's
    clock = SimpleNamespace(monotonic=lambda: now[0], sleep=sleep)
    monkeypatch.setattr(part_types, "time", clock)
    return answers


def test_a_part_is_waited_for_until_it_is_seen(looks):
    looks += [seen(), seen(), seen("a")]
    assert awaited_unknown(None, GW[0], 60) == "a"


def test_where_none_comes_in_time_that_is_said(looks):
    looks += [seen()] * 9
    with pytest.raises(Refused) as caught:
        awaited_unknown(None, GW[0], 5)
    assert caught.value.reason == Reason.PART_UNKNOWN and "are frames coming" in str(caught.value)


def test_where_all_that_is_seen_is_known_frames_do_come(looks):
    looks += [Asked((SeenType("b", 1, 1, False),), whole=True)] * 9
    with pytest.raises(Refused) as caught:
        awaited_unknown(None, GW[0], 5)
    assert "what was seen is described ('b')" in str(caught.value)


@pytest.mark.parametrize(
    ("told", "error"), [(seen("a", "b"), Refused), (Asked((), whole=False), Unavailable)]
)
def test_what_waiting_does_not_mend_is_said_at_once(looks, told, error):
    looks += [told]
    with pytest.raises(error):
        awaited_unknown(None, GW[0], 60)
