"""A bounded share of a processor: where groups are made, how they are bounded, and what is said
where they cannot be. The kernel's files are a folder's here.
"""

from pathlib import Path

import pytest

from framegate.errors import FramegateError, Reason, Unavailable
from framegate_simulators.fleet import processor_share as shares
from framegate_simulators.fleet.plan import Plan, Shares
from framegate_simulators.fleet.processor_share import (
    PERIOD_US,
    Hierarchy,
    ProcessorShare,
    Throttled,
    processor_share,
)

V1 = "30 24 0:26 / /sys/fs/cgroup/cpu rw,relatime shared:9 - cgroup cgroup rw,cpu"
BOTH = "30 24 0:26 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct"
MEMORY = "31 24 0:27 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory"
SET = "32 24 0:28 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset"
V2 = "33 24 0:29 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate"
OTHER = "21 1 254:0 / / rw,relatime - ext4 /dev/vda rw"


@pytest.mark.parametrize(
    ("mounts", "folder", "version"),
    [
        ([OTHER, MEMORY, V1, V2], "/sys/fs/cgroup/cpu", 1),
        ([V2, BOTH], "/sys/fs/cgroup/cpu,cpuacct", 1),
        ([OTHER, V2], "/sys/fs/cgroup", 2),
        ([MEMORY, SET, V2], "/sys/fs/cgroup", 2),
        ([V2.replace("/sys/fs/cgroup", "/a\\040b")], "/a b", 2),
    ],
)
def test_where_groups_of_the_processor_are_made(mounts, folder, version):
    assert Hierarchy.found("\n".join(mounts)) == Hierarchy(Path(folder), version)


@pytest.mark.parametrize("mounts", ["", OTHER, MEMORY, SET, "x", V1.replace(" - ", " "), "a b - c"])
def test_a_host_without_them_is_told_what_to_do(mounts):
    with pytest.raises(Unavailable) as caught:
        Hierarchy.found(mounts)
    failure = caught.value.failures[0]
    assert failure.reason == Reason.UNAVAILABLE and "--controller-share" in failure.hint


@pytest.fixture
def kernel(tmp_path, monkeypatch):
    """A folder whose new groups have the kernel's files, and are removed with them."""
    made, removed = shares.tempfile.mkdtemp, Path.rmdir

    def mkdtemp(**where):
        folder = Path(made(**where))
        for name in ("cpu.max", "cpu.cfs_period_us", "cpu.cfs_quota_us", "cgroup.procs"):
            (folder / name).touch()
        return str(folder)

    def rmdir(folder):
        for file in folder.iterdir():
            file.unlink()
        removed(folder)

    monkeypatch.setattr(shares.tempfile, "mkdtemp", mkdtemp)
    monkeypatch.setattr(Path, "rmdir", rmdir)
    (tmp_path / "cgroup.subtree_control").write_text("memory\n")
    return tmp_path


def test_a_group_of_version_1_gets_its_share_of_each_period(kernel):
    with processor_share(25, Hierarchy(kernel, 1)) as share:
        period, quota = (
            int((share.folder / f"cpu.cfs_{n}_us").read_text()) for n in ("period", "quota")
        )
        assert (period, quota) == (PERIOD_US, PERIOD_US // 4)
        assert share.entry.parent.parent == kernel
    assert not share.folder.exists()
    assert (kernel / "cgroup.subtree_control").read_text() == "memory\n"


def test_a_group_of_version_2_is_bounded_once_its_root_hands_the_processor_down(kernel):
    with processor_share(100, Hierarchy(kernel, 2)) as share:
        assert (share.folder / "cpu.max").read_text() == f"{PERIOD_US} {PERIOD_US}"
        assert (kernel / "cgroup.subtree_control").read_text() == "+cpu"
    assert not share.folder.exists()


@pytest.mark.parametrize("version", [1, 2])
def test_who_may_not_make_a_group_is_told_so(tmp_path, version):
    nowhere = Hierarchy(tmp_path / "none", version)
    with pytest.raises(Unavailable) as caught, processor_share(25, nowhere):
        pytest.fail("there is no such folder")
    failure = caught.value.failures[0]
    assert "25 % of a processor" in failure.expected and "No such file" in failure.actual
    assert "root" in failure.hint


def test_a_group_that_cannot_be_bounded_is_not_left_behind(tmp_path, monkeypatch):
    def refused(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(shares, "_bound", refused)
    with pytest.raises(Unavailable, match="denied"), processor_share(25, Hierarchy(tmp_path, 1)):
        pytest.fail("it is not bounded")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("stat", "seen"),
    [
        ("nr_periods 10\nnr_throttled 4\nthrottled_time 77\n", Throttled(10, 4)),
        ("usage_usec 5\nnr_periods 3\nnr_throttled 0\nthrottled_usec 0\n", Throttled(3, 0)),
        ("", Throttled()),
    ],
)
def test_how_often_a_share_was_used_up(tmp_path, stat, seen):
    (tmp_path / "cpu.stat").write_text(stat)
    assert ProcessorShare(tmp_path).throttled() == seen


def test_a_group_that_is_gone_has_no_count(tmp_path):
    with pytest.raises(Unavailable):
        ProcessorShare(tmp_path / "gone").throttled()


def test_periods_of_several_groups_since_a_moment():
    before = Throttled(10, 10) + Throttled(0, 0)
    assert (Throttled(20, 12) + Throttled(30, 13)).since(before) == pytest.approx(15 / 40)
    assert before.since(before) == 0.0


@pytest.mark.parametrize("share", [-1, 0.5, 4.9, 100.1, 400, float("nan")])
def test_shares_that_no_controller_can_have(share):
    with pytest.raises(FramegateError) as caught:
        Plan(10, 60.0, 300.0, 2, 1, True, Shares(), share=share)
    assert caught.value.reason == Reason.USAGE and caught.value.failures[0].hint


def test_machines_that_press_do_not_go_with_restarts():
    several = {"controllers": 2, "database": True}
    with pytest.raises(FramegateError) as caught:
        Plan(10, 60.0, 300.0, 2, 1, True, Shares(), **several, rolling=True, pressing=True)
    assert caught.value.reason == Reason.USAGE
    assert Plan(10, 60.0, 300.0, 2, 1, True, Shares(), **several, pressing=True, share=25).pressing
