"""Names of vault keys."""

import pytest

from framegate.errors import Malformed
from framegate_gateway.vault.keys import DayKey


@pytest.mark.parametrize(
    "stem",
    ["../x_2026-01-01_PASS", "cam_2026-01-01_", "cam_x_PASS", "", "a" * 300 + "_2026-01-01_PASS"],
)
def test_key_names_that_are_no_names(stem):
    with pytest.raises(Malformed):
        DayKey.parse(stem)
