"""Policies, people and decisions at a gateway."""

import pytest

from framegate.access.policy import default_files
from framegate_gateway.trust.access import AccessView


def policy_files(**more: str) -> dict[str, str]:
    return dict(default_files()) | {f"{n}.cedar": t for n, t in more.items()}


@pytest.fixture
def access_view(keys, tmp_path):
    """What a gateway knows of policies and people, before anything came."""
    return AccessView(tmp_path, lambda: keys.root.certificate)
