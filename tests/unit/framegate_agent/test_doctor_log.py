"""What a machine without a boot log is told to do."""

import pytest

from framegate_agent.doctor import _no_log


@pytest.mark.parametrize(("mounted", "says"), [(False, "mount securityfs"), (True, "linuxefi")])
def test_why_there_is_no_boot_log(tmp_path, mounted, says):
    if mounted:
        (tmp_path / "ima").mkdir()
    assert says in _no_log(tmp_path)


def test_a_folder_that_is_not_there_is_not_mounted(tmp_path):
    assert "mount securityfs" in _no_log(tmp_path / "none")
