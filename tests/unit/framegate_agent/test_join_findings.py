"""What joining says of a machine that does not satisfy its profile."""

import pytest

from framegate.errors import Failure, Reason
from framegate_agent.main import SHOWN, _tell_findings


@pytest.mark.parametrize("count", [1, SHOWN, SHOWN + 1, 70])
def test_the_first_findings_and_where_the_others_stand(capsys, count):
    findings = [
        Failure(Reason.IMA_FILE, "a known file", f"/usr/bin/x{n}", "") for n in range(count)
    ]
    _tell_findings("camera.line-1.cam1", findings)
    told = " ".join("".join(capsys.readouterr()).split())
    assert told.count("ima-file") == min(count, SHOWN)
    more = f"and {count - SHOWN} more: framegate camera why cam1"
    assert (more in told) == (count > SHOWN)
    assert ("framegate camera adopt cam1" in told) == (count > SHOWN)
