"""Most events are known at once, by a digest that a profile lists or spells out; it is what asking
each in full says.
"""

from framegate.errors import Malformed
from framegate.eventlog import parse_boot_log
from framegate.eventlog.content import MAX_TEXT_BYTES, covered_text, says
from framegate.evidence.boot_events import Known, absent_events, event_failures, judged_events
from framegate.tpm.constants import Alg
from support.evidence_corpus import changed, logs, profile, seeded, strict
from support.hostile_logs import made_log


def made_logs(count: int):
    texts = strict().texts[0].allow
    yield from (made_log(seeded(f"at once {n}"), texts) for n in range(count))
    for _, honest in logs():
        yield honest
        yield from (changed(honest, seeded(f"at once, changed {n}")) for n in range(count))


def test_events_known_at_once_are_judged_as_each_is_in_full():
    by_text, refused = 0, 0
    for data in made_logs(60):
        try:
            log = parse_boot_log(data)
        except Malformed:
            continue
        if Alg.SHA256 not in log.banks:
            continue
        for against in (profile(), strict()):
            each = list(judged_events(log, against))
            failures = [j.failure for j in each if j.failure is not None]
            met = {j.by for j in each if j.by}
            assert event_failures(log, against) == failures + absent_events(against, met)
            by_text += sum(j.known is Known.TEXT for j in each)
            refused += len(failures)
    assert by_text > 40 and refused > 40  # both ways were gone


def test_n40_a_text_is_the_datas_own_word_and_not_only_the_digests():
    covered = covered_text("linux /vmlinuz quiet")
    for told in (covered, covered + b"\0", covered + bytes(9), b"grub_cmd: " + covered + b"\0"):
        assert says(told, covered)
    for other in (
        b"",
        b"linux /vmlinuz",
        b"other",
        b"x" + covered,
        covered + b"\0x",
        b"grub_cmd: grub_cmd: " + covered,
        b"grub_cmd:" + covered,
        covered + bytes(MAX_TEXT_BYTES),
    ):
        assert not says(other, covered)


def test_a_text_that_no_event_can_have_is_covered_by_nothing():
    assert not covered_text("") and not covered_text("a\0") and not covered_text("a\x07b")
    assert not covered_text("\ud800")
    assert covered_text("a\tb\n") == b"a\tb\n"
