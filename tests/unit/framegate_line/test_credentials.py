"""Credentials of a line."""

import pytest

from framegate.errors import FramegateError
from framegate_line.credentials import load_credentials


def test_credentials_of_another_line(bench_line):
    with pytest.raises(FramegateError) as caught:
        load_credentials(bench_line.folder, "press-8")
    assert "line-certificate press-8" in str(caught.value)
    (bench_line.folder / "line.key").chmod(0o644)
    with pytest.raises(FramegateError):
        load_credentials(bench_line.folder, "press-7")
