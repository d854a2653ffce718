"""N168: a machine, a gateway, a broker or a line that puts a zone, or itself, where nothing is
diverted; and whatever a pilot might be taken for.
"""

from dataclasses import replace

import pytest

from framegate.errors import FramegateError
from framegate.identity.certificates import Purpose, from_ms
from framegate.pilot.policy import FILE, Stage, parse_pilots
from framegate.pilot.would_be import WouldBe
from framegate.signed.decision import verify_decision
from framegate_line.decisions import said_of
from framegate_line.ledger import SENT, UNDIVERTED
from framegate_line.outputs import OUTCOME_CODE, STAGE_CODE
from support.line import CAM1, CAM2
from support.pilots import stage_word, staged

SECOND_MS = 1000


def verified(bench, envelope):
    own = bench.adapter._credentials
    now = from_ms(bench.now)
    return verify_decision(envelope, "press-7", own.authorities, own.root, now)


async def test_n168_under_the_controllers_word_a_bad_part_goes_on_and_is_no_pass(bench_line):
    b = bench_line
    view, reported = staged(b), []
    b.adapter.report = lambda *told: reported.append(told)
    view.take(stage_word(b))
    b.trigger()
    b.adapter.verdict(b.verdict(CAM2, outcome="DEFECT"))
    assert await b.settled() == ["DEFECT"]
    decision = verified(b, b.output.decisions[0][1])
    assert (decision.outcome, decision.stage, decision.passes) == ("DEFECT", "observe", True)
    assert b.ledger.latest(1)[0].emitted == UNDIVERTED and b.ledger.undiverted() == 1
    assert b.ledger.counts().outcomes == {"DEFECT": 1}
    ((kind, text, part),) = reported
    assert (kind.value, part) == ("pilot-observed", "p1")
    assert WouldBe.parse(text).camera == CAM2
    assert OUTCOME_CODE["DEFECT"] != OUTCOME_CODE["PASS"] and STAGE_CODE["observe"]


async def test_n168_without_a_word_the_same_part_is_diverted(bench_line):
    b = bench_line
    staged(b)
    b.trigger()
    b.adapter.verdict(b.verdict(CAM2, outcome="DEFECT"))
    assert await b.settled() == ["DEFECT"]
    decision = verified(b, b.output.decisions[0][1])
    assert not decision.passes and not decision.stage
    assert b.ledger.latest(1)[0].emitted == SENT


@pytest.mark.parametrize(
    "forge",
    [
        lambda b: stage_word(b, by=b.signer("gateway.line-1.gw1")),
        lambda b: stage_word(b, by=b.signer("gateway.line-1.gw1", Purpose.GATEWAY)),
        lambda b: stage_word(b, by=b.signer("camera.line-1.cam1", Purpose.DEVICE, "device-ca")),
        lambda b: stage_word(b, by=b.signer("line.press-7", Purpose.LINE, "broker-ca")),
        lambda b: stage_word(b, by=b.signer("controller", Purpose.GRANT, "gateway-ca")),
        lambda b: stage_word(b, by=b.fleet.signing["policy"]),
        lambda b: stage_word(b, by=b.fleet.signing["log"]),
        lambda b: stage_word(b, zone="line-2"),
        lambda b: stage_word(b, "off"),
        lambda b: stage_word(b, ""),
        lambda b: stage_word(b, version=0),
        lambda b: stage_word(b, valid_until_ms=b.now - 1),
        lambda b: stage_word(b, valid_until_ms=b.now + 9 * 3_600_000),
        lambda b: stage_word(b, issued_at_ms=b.now + 60_000),
        lambda b: stage_word(b).replace(b'"sig":"M', b'"sig":"N'),
        lambda b: stage_word(b)[:-9],
        lambda b: b.verdict(CAM1, stage="observe"),
        lambda b: b"",
        lambda b: b"{" * 9_000,
        lambda b: bytes(20_000),
    ],
    ids=[
        "a-gateway's-verdict-key",
        "a-gateway's-own-key",
        "a-camera's-key",
        "the-line's-own-key",
        "a-grant-key-by-another-ca",
        "the-policy-key",
        "the-log-key",
        "another-zone",
        "an-unknown-stage",
        "no-stage",
        "no-policy",
        "over",
        "longer-than-a-shift",
        "of-tomorrow",
        "another-signature",
        "cut",
        "a-verdict-that-says-so",
        "nothing",
        "braces",
        "too-long",
    ],
)
def test_n168_nobody_but_the_controller_lifts_the_diverter(bench_line, forge):
    view = staged(bench_line)
    view.take(forge(bench_line))
    assert view.stage is Stage.ENFORCE


async def test_n168_a_verdict_in_which_a_gateway_says_observe_opens_nothing(bench_line):
    b = bench_line
    staged(b)
    b.trigger()
    b.adapter.verdict(b.verdict(CAM1, outcome="DEFECT", stage="observe"))
    assert await b.settled() == ["DEFECT"]
    assert not verified(b, b.output.decisions[0][1]).passes


def test_n168_an_older_policys_word_is_not_taken_again_over_a_restart_too(bench_line):
    b = bench_line
    view, old = staged(b), stage_word(b)
    view.take(old)
    assert view.stage is Stage.OBSERVE
    view.take(stage_word(b, Stage.ENFORCE, version=8))
    assert view.stage is Stage.ENFORCE
    view.take(old)
    assert view.stage is Stage.ENFORCE and view.refused == 1
    again = staged(b)
    again.take(old)
    assert again.stage is Stage.ENFORCE and again.refused == 1


def test_n168_of_one_policy_an_earlier_word_is_not_taken_either(bench_line):
    b = bench_line
    view, warned = staged(b), stage_word(b, Stage.OBSERVE)
    b.now += SECOND_MS
    view.take(stage_word(b, Stage.WARN))
    view.take(warned)
    assert view.stage is Stage.WARN and view.refused == 1


def test_n168_a_word_that_is_kept_back_runs_out_and_all_is_enforced(bench_line):
    b = bench_line
    view = staged(b)
    view.take(stage_word(b))
    b.now += 600_001
    assert view.stage is Stage.ENFORCE
    b.now -= 700_000  # nor does a clock that was set back make it new
    assert view.stage is Stage.ENFORCE


def test_n168_an_adapter_that_starts_again_goes_by_the_word_it_had(bench_line):
    b = bench_line
    staged(b).take(stage_word(b, Stage.WARN))
    assert staged(b).stage is Stage.WARN
    file = b.folder / "ledger.stage"
    file.write_bytes(file.read_bytes().replace(b"floor", b"flaor"))
    assert staged(b).stage is Stage.ENFORCE


async def test_n168_a_line_that_is_not_enforced_asks_for_no_stop_and_passes_what_is_late(
    bench_line,
):
    b = bench_line
    staged(b).take(stage_word(b, Stage.WARN))
    for sequence in range(1, 4):
        b.trigger(sequence)
        b.adapter.verdict(b.verdict(CAM1, sequence, outcome="UNINSPECTED"))
    await b.settled()
    assert not b.output.stops and b.adapter.in_a_row == 3
    b.trigger(9)
    b.adapter.verdict(b.verdict(CAM1, 9))
    b.now += SECOND_MS
    b.adapter.verdict(b.verdict(CAM2, 9))
    await b.settled()
    late = verified(b, b.output.decisions[-1][1])
    assert (late.outcome, late.reason, late.stage) == ("UNINSPECTED", "timeout", "warn")


async def test_n168_a_pass_that_is_late_under_a_pilot_is_not_handed_over_as_one(bench_line):
    b = bench_line
    b.trigger()
    b.adapter._spawn = lambda work: work.close()
    for camera in (CAM1, CAM2):
        b.adapter.verdict(b.verdict(camera))
    (decided,) = b.ledger.left_unsent()
    late = decided.part.deadline_ms
    assert said_of(decided, Stage.ENFORCE, late) is None
    assert said_of(decided, Stage.OBSERVE, late).ruling.outcome == "UNINSPECTED"
    assert said_of(decided, Stage.ENFORCE, late - 1) == decided


@pytest.mark.parametrize("change", [{"stage": "enforce"}, {"stage": "OBSERVE"}, {"stage": " "}])
def test_n168_a_decision_or_verdict_of_another_stage_is_refused(bench_line, change):
    from framegate.signed.decision import Decision
    from framegate.signed.statement import verify_verdict

    b, own = bench_line, bench_line.adapter._credentials
    good = Decision("d", "press-7", "p", "t", 1, 0, "DEFECT", "", (), b.now, b.now + 1000)
    verified(b, good.seal(own.der, own.sign))
    with pytest.raises(FramegateError):
        verified(b, replace(good, **change).seal(own.der, own.sign))
    now = from_ms(b.now)
    with pytest.raises(FramegateError):
        verify_verdict(b.verdict(CAM1, **change), own.authorities, own.root, now)


UNTIL = "until = 2027-01-31T18:00:00Z\n"


@pytest.mark.parametrize(
    "text",
    [
        "[line-1]\nstage = 'observe'\n",
        f"[line-1]\n{UNTIL}",
        f"[line-1]\nstage = 'enforce'\n{UNTIL}",
        f"[line-1]\nstage = 'off'\n{UNTIL}",
        f"[line-1]\nstage = true\n{UNTIL}",
        f"[line-1]\nstage = 'observe'\n{UNTIL}zone = '*'\n",
        f"['*']\nstage = 'observe'\n{UNTIL}",
        "[line-1]\nstage = 'observe'\nuntil = 2027-01-31T18:00:00\n",
        "[line-1]\nstage = 'observe'\nuntil = 2027-01-31\n",
        "[line-1]\nstage = 'observe'\nuntil = '2027-01-31T18:00:00Z'\n",
        "[line-1]\nstage = 'observe'\nuntil = 1969-01-31T18:00:00Z\n",
        f"[line-1]\nstage = 'observe'\n{UNTIL}life = '30s'\n",
        f"[line-1]\nstage = 'observe'\n{UNTIL}life = '9h'\n",
        f"[line-1]\nstage = 'observe'\n{UNTIL}life = 600\n",
        "line-1 = 'observe'\n",
        "[line-1\n",
        "#" + "x" * 20_000,
    ],
    ids=[
        "no-end",
        "no-stage",
        "enforce",
        "off",
        "true",
        "another-key",
        "every-zone",
        "no-offset",
        "a-date",
        "a-text",
        "before-the-epoch",
        "too-short",
        "too-long",
        "a-number",
        "no-table",
        "no-toml",
        "too-large",
    ],
)
def test_n168_a_file_that_is_not_whole_is_no_policy(text):
    with pytest.raises(FramegateError):
        parse_pilots(text)


def test_n168_the_record_says_first_that_a_zone_is_lifted(bench):
    from framegate.access.policy import default_files
    from framegate_controller.verbs.policy import ApplyPolicy

    files = {**default_files(), FILE: f"[line-1]\nstage = 'observe'\n{UNTIL}"}
    with bench.store.reading() as tx:
        asked = ApplyPolicy(files, bytes(32), 1, "").aim(tx)
    assert "zone line-1 DIVERTS NOTHING: observe until 2027-01-31" in asked.summary[:150]
    assert asked.verb == "policy.apply"
