"""N243: a part's guard that is lost unsaid: learnt anew, added again after it was taken away, or
with a member that approvers are not told of.
"""

import contextlib
import json
import re
from dataclasses import fields
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from framegate.errors import Malformed, Reason
from framegate.looks.kinds import Look
from framegate.profile.model import PROFILE_TYPE, parse_profile
from framegate.profile.weakened import MOST_TOLD, weakened_profile
from framegate.signed.dsse import seal_envelope
from framegate.signed.part import PartStatement
from framegate.signed.part_rules import relearnt, rules_of, weakened
from framegate_controller.inspection.recipes import weakened_recipe
from framegate_controller.rpc import parts as part_rows
from framegate_controller.rpc import profiles as profile_rows
from framegate_controller.verbs.in_force import in_force
from framegate_operator import parts as part_commands
from framegate_proto.v1 import framegate_pb2 as pb
from framegate_simulators.fixtures.verbs import AllowedCaller
from framegate_simulators.machine.boot import Firmware, profile_toml
from framegate_simulators.machine.ima import allowlist_of
from support.boards import statement
from support.looks import row
from support.paths import ROOT
from support.playbooks import HOLD, Response, playbook_toml
from support.registrations import registration

PNG, OTHER = b"\x89PNG\r\n\x1a\n" + b"one", b"\x89PNG\r\n\x1a\n" + b"two"
CORNER = {"points": [[0.0, 0.0], [0.1, 0.0], [0.1, 0.1], [0.0, 0.1]]}
EDGE = {"points": [[0.0, 0.0], [0.2, 0.0], [0.2, 0.1], [0.0, 0.1]]}
WHOLE = {"points": [[0.1, 0.1], [0.9, 0.1], [0.9, 0.9], [0.1, 0.9]]}
GUARD = {
    "thresholds": [{"kind": "short", "at_least": 0.4}],
    "min_size_px": 4.0,
    "ignore": [CORNER],
    "looks": [row(limit=20.0), row(Look.CONTRAST, limit=0.9)],
    "outline": [WHOLE],
    "tolerant_percent": 2,
}
LOOSER = {
    "threshold-raised": (
        {"thresholds": [{"kind": "short", "at_least": 0.5}]},
        "short from 0.5 on, before 0.4",
    ),
    "threshold-gone": ({"thresholds": []}, "short from the model's own threshold on, before 0.4"),
    "threshold-new": (
        {"thresholds": [*GUARD["thresholds"], {"kind": "open", "at_least": 0.9}]},
        "open from 0.9 on, before the model's own threshold",
    ),
    "size": ({"min_size_px": 9.0}, "no defects below 9 px, before 4"),
    "ignored": ({"ignore": [EDGE]}, "another 2 % of the picture is not judged"),
    "looks": ({"looks": []}, "residual goes; contrast goes"),
    "look": ({"looks": GUARD["looks"][:1]}, "contrast goes"),
    "limit": ({"looks": [row(limit=40.0), GUARD["looks"][1]]}, "residual looser: 20 to 40"),
    "outline": ({"outline": []}, "its outline goes"),
    "tolerance": ({"tolerant_percent": 9}, "on 9 % of the picture, before 2"),
}
STRICTER = {
    "same": {},
    "threshold": {"thresholds": [{"kind": "short", "at_least": 0.3}]},
    "size": {"min_size_px": 2.0},
    "ignored": {"ignore": []},
    "limit": {"looks": [row(limit=10.0), GUARD["looks"][1]]},
    "tolerance": {"tolerant_percent": 0},
}


def asked(rules, *goldens: bytes) -> pb.AddPartRequest:
    return pb.AddPartRequest(
        part_type="a/1",
        goldens=goldens or (PNG,),
        rules=json.dumps(rules).encode(),
        source="a lot",
    )


def told_of(bench, models_desk, request) -> str:
    """What approvers read of it, which the record has too."""
    models_desk.ask("AddPart", request)
    said = models_desk.aim.summary
    assert said in bench.events("part-set")[-1]["detail"]
    return said


@pytest.mark.parametrize("change", LOOSER, ids=str)
def test_n243_each_member_that_gives_way_is_told_to_approvers(bench, models_desk, change):
    rules, words = LOOSER[change]
    assert "WEAKER" not in told_of(bench, models_desk, asked(GUARD))
    said = told_of(bench, models_desk, asked({**GUARD, **rules}))
    assert f"WEAKER GUARD: {words}" in said or ("WEAKER GUARD:" in said and words in said)


@pytest.mark.parametrize("change", STRICTER, ids=str)
def test_n243_what_grows_stricter_is_no_loosening(bench, models_desk, change):
    told_of(bench, models_desk, asked(GUARD))
    assert "WEAKER" not in told_of(bench, models_desk, asked({**GUARD, **STRICTER[change]}))


def test_n243_more_golden_images_to_be_like_are_told(bench, models_desk):
    told_of(bench, models_desk, asked(GUARD))
    assert "one of 2 golden images" in told_of(bench, models_desk, asked(GUARD, PNG, OTHER))
    assert "WEAKER" not in told_of(bench, models_desk, asked(GUARD, OTHER))


def test_n243_a_part_taken_away_and_added_again_has_lost_nothing_unsaid(bench, models_desk):
    told_of(bench, models_desk, asked(GUARD))
    for _ in range(2):  # once more: what was taken away twice is kept too
        models_desk.ask("AddPart", pb.AddPartRequest(part_type="a/1", remove=True))
        assert "WEAKER" not in models_desk.aim.summary, "its frames are UNINSPECTED"
    said = told_of(bench, models_desk, asked({}))
    for words in ("short from", "residual goes", "contrast goes", "its outline goes"):
        assert words in said
    models_desk.ask("AddPart", pb.AddPartRequest(part_type="a/1", remove=True))
    assert "WEAKER" not in told_of(bench, models_desk, asked({}))


@pytest.mark.parametrize("member", GUARD)
def test_n243_who_takes_a_part_away_sets_no_rules_by_it(member):
    request = pb.AddPartRequest(part_type="a/1", remove=True)
    request.rules = json.dumps({member: GUARD[member]}).encode()
    with pytest.raises(Malformed) as caught:
        part_rows.ROWS[0].parse(request)
    assert caught.value.reason == Reason.PART


def test_n243_a_golden_image_learnt_anew_keeps_all_other_rules():
    before = statement(**{k: tuple(v) if isinstance(v, list) else v for k, v in GUARD.items()})
    rules = relearnt(before, [], 7)
    assert rules == {**rules_of(before), "outline": [], "tolerant_percent": 7}
    assert relearnt(None, [WHOLE], 0)["looks"] == []


def test_n243_no_rule_of_a_part_is_left_out_of_what_is_kept():
    others = {"part_type", "version", "goldens", "source", "approved_by", "removed", "issued_at_ms"}
    assert set(rules_of(statement())) == {f.name for f in fields(PartStatement)} - others
    part = statement(**{k: tuple(v) if isinstance(v, list) else v for k, v in GUARD.items()})
    assert not weakened(part, part)


class Fleet:
    """A controller that has the part, and takes whatever it is asked."""

    def __init__(self, envelope: bytes) -> None:
        self.row, self.added = SimpleNamespace(envelope=envelope, by="operator.anna"), []

    def ShowPart(self, _request):
        return SimpleNamespace(row=self.row, goldens=[PNG])

    def AddPart(self, request):
        self.added.append(request)
        return SimpleNamespace(part_type=request.part_type, version=2)


@pytest.fixture
def add(bench, models_desk, monkeypatch):
    """`framegate part add` with words, before a fleet with the part; what it asks for."""
    row = models_desk.ask("AddPart", asked(GUARD))
    fleet = Fleet(row.envelope)
    monkeypatch.setattr(part_commands, "load_context", lambda _: None)
    stub = contextlib.contextmanager(lambda *_: (yield fleet))
    monkeypatch.setattr(part_commands, "operator_stub", stub)

    def typed(*words: str, code: int = 0) -> pb.AddPartRequest | None:
        done = CliRunner().invoke(part_commands.app, ["add", "a/1", *words])
        assert done.exit_code == code, done.stderr
        return fleet.added[-1] if fleet.added else None

    return typed


def test_n243_the_command_line_keeps_what_no_option_names(add, tmp_path):
    (tmp_path / "new.png").write_bytes(OTHER)
    kept = add("--keep", "--golden", str(tmp_path / "new.png"), "--min-size", "2")
    assert list(kept.goldens) == [OTHER] and kept.source == "a lot"
    rules = json.loads(kept.rules)
    assert rules["min_size_px"] == 2.0
    assert [r["look"] for r in rules["looks"]] == ["residual", "contrast"]
    assert rules["thresholds"] == GUARD["thresholds"] and rules["ignore"] == GUARD["ignore"]
    same = add("--keep")
    assert list(same.goldens) == [PNG] and json.loads(same.rules)["outline"] == GUARD["outline"]


@pytest.mark.parametrize("words", [("--keep", "--remove"), ()], ids=["both", "neither"])
def test_n243_what_is_kept_and_taken_away_at_once_is_refused(add, words):
    assert add(*words, code=2) is None


# profiles, models and playbooks of a later revision

PROFILE = (
    (ROOT / "firmware_profiles/simulators-camera-1.0.0.toml")
    .read_text()
    .replace("[posture]\n", "[posture]\nfirewall = true\n")
)
LESS_DEMANDED = {
    "posture": (("firewall = true", "firewall = false"), "posture firewall no longer limited"),
    "secure-boot": (
        ("[secure_boot]\nrequired = true", "[secure_boot]\nrequired = false"),
        "Secure Boot no longer required",
    ),
    "dbx": ((re.search(r"dbx_minimum = .*\n", PROFILE)[0], ""), "3 revoked hashes no longer"),
    "sbat": (('"shim,4"', '"shim,3"'), "SBAT shim from 3 on, before 4"),
    "text": (
        ('lockdown=integrity"]\nrequired = true', 'lockdown=integrity"]\nrequired = false'),
        "PCR 8: command line no longer required",
    ),
    "event": (
        ('name = "CRTM version"', 'name = "some version"'),
        "PCR 0: CRTM version no longer required",
    ),
    "file": (('"/etc/ima/ima-policy", ', ""), "files no longer required: /etc/ima/ima-policy"),
    "violations": (("max_violations = 0", "max_violations = 9"), "9 violations allowed, before 0"),
    "exclude": (("max_violations = 0", 'max_violations = 0\nexclude = ["/opt/"]'), "not judged"),
}


@pytest.mark.parametrize("change", LESS_DEMANDED, ids=str)
def test_n243_what_a_profile_no_longer_demands_is_said(change):
    (was, now), words = LESS_DEMANDED[change]
    assert was in PROFILE
    before, after = (parse_profile(t.encode()) for t in (PROFILE, PROFILE.replace(was, now, 1)))
    (said,) = weakened_profile(before, after)
    assert words in said
    assert not weakened_profile(after, before) or change == "event", "the other way is stricter"


def test_n243_other_digests_alone_are_no_loosening():
    before = parse_profile(PROFILE.encode())
    other = re.sub(r'digests = \["[0-9a-f]{4}', 'digests = ["abcd', PROFILE)
    assert other != PROFILE and weakened_profile(before, parse_profile(other.encode())) == ()


def test_n243_files_and_pcrs_that_go_are_said_and_a_long_list_ends():
    before = parse_profile(PROFILE.encode())
    bare = re.sub(r"\[ima\]\n(.+\n)+", "", PROFILE).replace(", 9, 10]", ", 9]")
    said = weakened_profile(before, parse_profile(bare.encode()))
    assert said[0] == "PCR 10 no longer covered" and "files that run" in said[-1]
    renamed = re.sub(r'name = "(?=[a-zA-Z])', 'name = "another ', PROFILE).replace(
        'name = "another simulated-camera"', 'name = "simulated-camera"'
    )
    many = weakened_profile(before, parse_profile(renamed.encode()))
    assert len(many) == MOST_TOLD + 1 and re.fullmatch(r"and \d+ more", many[-1])


def test_n243_whoever_approves_a_profile_reads_what_it_no_longer_demands(bench):
    bench.enrol()
    desk = AllowedCaller(bench.store, bench.fleet, profile_rows.ROWS)
    key, firmware = bench.keys.signing["profile"], Firmware("simulated-camera")
    text = profile_toml(firmware, "simulated-camera", 2)

    def imported(said: str) -> str:
        envelope = seal_envelope(PROFILE_TYPE, said.encode(), key.der, key.sign)
        lists = [allowlist_of(firmware.model, firmware.release)]
        desk.ask("ImportProfile", pb.ImportProfileRequest(envelope=envelope, allowlists=lists))
        return desk.aim.summary

    assert "WEAKER" not in imported(text)
    looser = text.replace("revision = 2", "revision = 3").replace("required = true", "", 1)
    looser = looser.replace("[secure_boot]\n", "[secure_boot]\nrequired = false\n", 1)
    said = imported(looser)
    assert said.endswith("WEAKER PROFILE: Secure Boot no longer required")


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ({"classes": ["open", "short"]}, {"classes": ["open"]}, "no longer looks for short"),
        (
            {"classes": ["open", "short"]},
            {"classes": ["open", "short"], "good": ["open"]},
            "no longer looks for open",
        ),
        ({"threshold": 0.4}, {"threshold": 0.6}, "threshold 0.6, before 0.4"),
        ({"threshold": 0.4}, {}, "no threshold, before 0.4"),
        ({"threshold": 0.4}, {"threshold": "high"}, "cannot be told"),
        ({"classes": 7}, {}, "cannot be told"),
    ],
)
def test_n243_what_a_model_no_longer_finds_is_said(before, after, said):
    (told,) = weakened_recipe(*(json.dumps(b).encode() for b in (before, after)))
    assert said in told


@pytest.mark.parametrize("raw", [b"", b"[]", b"\xff", b"7", b'{"threshold": 1e999}'])
def test_n243_a_recipe_that_is_none_is_said_to_be(raw):
    assert weakened_recipe(b"{}", raw) == ("what its recipe gives up cannot be told",)


def test_n243_models_that_find_the_same_or_more_are_told_as_ever():
    sound = json.dumps({"classes": ["open"], "threshold": 0.4}).encode()
    more = json.dumps({"classes": ["open", "short"], "threshold": 0.3}).encode()
    assert weakened_recipe(sound, sound) == () and weakened_recipe(sound, more) == ()


def test_n243_whoever_approves_a_model_reads_what_it_no_longer_finds(bench, models_desk):
    summaries = []
    for number, classes in enumerate((("open", "short"), ("open",)), start=1):
        row = models_desk.ask("RegisterModel", registration(number, classes=classes))
        models_desk.ask("ApproveModel", pb.ModelRequest(digest=row.digest))
        models_desk.ask("PromoteModel", pb.ModelRequest(digest=row.digest, zone="line-1"))
        summaries.append(models_desk.aim.summary)
    assert "WEAKER" not in summaries[0]
    assert summaries[1].endswith("WEAKER MODEL: no longer looks for short")
    models_desk.ask("RollBackModel", pb.ModelRequest(zone="line-1"))
    assert "WEAKER" not in models_desk.aim.summary


def test_n243_a_playbook_stands_beside_the_one_in_its_place(bench):
    mill = Response(bench)
    asked = pb.EnablePlaybookRequest(text=playbook_toml(cooldown="2h"), base=1)
    with mill.store.reading() as tx:
        assert in_force(tx, "playbook.enable", asked) is None
    mill.enable(HOLD)
    with mill.store.reading() as tx:
        assert in_force(tx, "playbook.enable", asked).text == HOLD
    mill.disable()
    with mill.store.reading() as tx:
        assert in_force(tx, "playbook.enable", asked) is None
