import pytest

from framegate.errors import Reason, Refused
from framegate.segment.trusted_sets import elements_of, every_element
from framegate_segment.enforcement.enforcer import Standing
from framegate_segment.netlink.set_elements import Life
from support.segments import CAM1, CAM2, GW1, FakeKernel, Gate, planned_segment


def test_who_is_trusted_stands_and_nobody_else():
    gate = Gate()
    gate.admit(CAM1, GW1)
    assert gate.stands_whole(CAM1) and gate.stands_whole(GW1) and not gate.stands_at_all(CAM2)


def test_an_element_lives_no_longer_than_its_policy_says_nor_than_the_proof():
    gate = Gate(planned_segment(life_s=10))
    gate.admit(CAM1, for_s=300)
    gate.admit(CAM2, for_s=4)
    gate.pass_time(3.9)
    assert gate.stands_whole(CAM1) and gate.stands_whole(CAM2)
    gate.pass_time(0.2)
    assert gate.stands_whole(CAM1) and not gate.stands_at_all(CAM2)
    gate.pass_time(6)
    assert not gate.stands_at_all(CAM1)


def test_renewing_goes_on_only_while_somebody_renews():
    gate = Gate(planned_segment(life_s=9))
    gate.admit(CAM1, for_s=1000)
    for _ in range(20):
        gate.pass_time(3)
        gate.enforcer.renew()
        assert gate.stands_whole(CAM1)
    gate.pass_time(9.1)
    assert not gate.stands_at_all(CAM1)


def test_a_revocation_takes_the_element_first_and_connections_after_a_moment():
    gate = Gate()
    gate.admit(CAM1, GW1)
    for element in elements_of(gate.segment, CAM1):
        gate.kernel.connect(element)
    gate.kernel.did.clear()
    gate.enforcer.update({CAM1: Standing("quarantined", 0)})
    assert gate.kernel.did == ["remove"] and not gate.stands_at_all(CAM1)
    assert gate.enforcer.finish() == []  # its peers are still answered with resets
    (cut,) = gate.finished()
    assert (cut.device, cut.why, cut.connections, cut.left) == (CAM1, "quarantined", 4, 0)
    assert not gate.kernel.tracked and gate.stands_whole(GW1)
    assert gate.enforcer.next_finish_s is None


def test_what_is_left_is_told_and_not_hoped():
    gate = Gate()
    gate.admit(CAM1)
    gate.kernel.stuck = True
    gate.enforcer.update({CAM1: Standing("quarantined", 0)})
    (cut,) = gate.finished()
    assert cut.left == 4


def test_whoever_is_trusted_again_in_that_moment_keeps_what_is_new():
    gate = Gate()
    gate.admit(CAM1)
    gate.enforcer.update({CAM1: Standing("suspect", 0)})
    gate.admit(CAM1)
    gate.kernel.connect(elements_of(gate.segment, CAM1)[0])
    (cut,) = gate.finished()
    assert cut.left == 0 and gate.stands_whole(CAM1) and gate.kernel.tracked


def test_a_result_that_ran_out_before_it_was_told_is_cut_when_it_is():
    gate = Gate()
    gate.admit(CAM1, for_s=5)
    gate.kernel.connect(elements_of(gate.segment, CAM1)[0])
    gate.pass_time(6)
    gate.enforcer.update({CAM1: Standing("stale", 0)})
    gate.finished()
    assert not gate.kernel.tracked


def test_a_snapshot_cuts_whoever_is_not_in_it():
    gate = Gate()
    gate.admit(CAM1, CAM2)
    gate.enforcer.replace({CAM2: gate.trusted()})
    assert not gate.stands_at_all(CAM1) and gate.stands_whole(CAM2)
    assert [c.device for c in gate.finished()] == [CAM1]


def test_after_a_restart_elements_keep_the_life_they_had_until_somebody_is_heard():
    kernel = FakeKernel()
    before = Gate(kernel=kernel)
    before.admit(CAM1, CAM2)
    kernel.now_s += 10
    ends = dict(kernel.ends_s)
    after = Gate(kernel=kernel)
    assert kernel.ends_s == ends and after.stands_whole(CAM1)
    kernel.connect(elements_of(after.segment, CAM2)[0])
    after.enforcer.replace({CAM1: after.trusted(), CAM2: Standing("quarantined", 0)})
    assert after.stands_whole(CAM1) and not after.stands_at_all(CAM2)
    (cut,) = after.finished()
    assert cut.device == CAM2 and not kernel.tracked


@pytest.mark.parametrize("heard", ["nobody is trusted", "a controller that is behind"])
def test_n162_what_a_process_before_this_one_left_is_cut_at_the_first_word(heard):
    """Of elements that it put nothing is remembered after a restart but that they stand."""
    kernel = FakeKernel()
    Gate(kernel=kernel).admit(CAM1)
    after = Gate(kernel=kernel)
    kernel.connect(elements_of(after.segment, CAM1)[0])
    assert after.stands_whole(CAM1)
    if heard == "nobody is trusted":
        after.enforcer.replace({})
    else:
        after.enforcer.close_all("an older controller")
    assert not after.stands_at_all(CAM1)
    (cut,) = after.finished()
    assert cut.device == CAM1 and not kernel.tracked
    after.enforcer.reconcile()
    assert not after.stands_at_all(CAM1)


def test_elements_that_no_policy_knows_are_taken_out():
    kernel = FakeKernel()
    strange = elements_of(planned_segment(), CAM1)[0]._replace(key=b"\x0a\x0a\x01\x63")
    kernel.put([Life(strange, 60_000)])
    Gate(kernel=kernel)
    assert strange not in kernel.ends_s


def test_another_policy_keeps_who_is_in_both_and_takes_out_who_is_not():
    gate = Gate()
    gate.admit(CAM1, GW1)
    text_without = planned_segment()
    fewer = tuple(b for b in text_without.bindings if b.device != CAM1)
    import dataclasses

    new = dataclasses.replace(text_without, bindings=fewer)
    gate.enforcer.enforce(new)
    assert gate.stands_whole(GW1)
    assert not set(elements_of(planned_segment(), CAM1)) & set(gate.kernel.ends_s)
    assert set(gate.kernel.ends_s) <= every_element(new)


def test_a_policy_that_the_kernel_does_not_take_changes_nothing():
    gate = Gate()
    gate.admit(CAM1)

    def refuse(_rules):
        raise Refused.of(Reason.SEGMENT, "rules", "no")

    gate.kernel.install = refuse
    with pytest.raises(Refused):
        gate.enforcer.enforce(planned_segment(life_s=60))
    assert gate.enforcer.segment == gate.segment and gate.stands_whole(CAM1)


def test_closing_everything():
    gate = Gate()
    gate.admit(CAM1, GW1)
    gate.enforcer.close_all("the controller is older than what was seen of it")
    assert not gate.kernel.ends_s and len(gate.finished()) == 2
    gate.enforcer.renew()
    assert not gate.kernel.ends_s
