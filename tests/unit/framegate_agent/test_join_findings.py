"""What joining says of a machine that does not satisfy its profile."""

import pytest

from framegate.errors import Failure, Reason
from framegate_agent.findings import tell_findings
from framegate_host.findings import KINDS_SHOWN as SHOWN


def said(capsys, findings):
    tell_findings("camera.line-1.cam1", findings)
    return " ".join("".join(capsys.readouterr()).split())


@pytest.mark.parametrize("count", [1, 2, 70])
def test_findings_of_one_kind_are_told_once_and_counted(capsys, count):
    told = said(
        capsys,
        [Failure(Reason.IMA_FILE, "a known file", f"/usr/bin/x{n}", "") for n in range(count)],
    )
    assert told.count("ima-file") == 1 and "/usr/bin/x0" in told
    assert (f"and {count - 1} more of this kind" in told) == (count > 1)
    everything = f"all {count}: framegate camera why cam1"
    assert (everything in told) == (count > 1)
    assert ("framegate camera adopt cam1 --key" in told) == (count > 1)


def test_each_kind_is_told_and_the_rest_stands_where_it_says(capsys):
    reasons = list(Reason)[: SHOWN + 2]
    told = said(capsys, [Failure(r, "this", "that", "") for r in reasons])
    assert told.count("expected this") == SHOWN
    assert f"all {SHOWN + 2}: framegate camera why cam1" in told


def test_one_finding_of_each_kind_sends_nobody_elsewhere(capsys):
    told = said(capsys, [Failure(r, "this", "that", "") for r in list(Reason)[:3]])
    assert "framegate camera" not in told
