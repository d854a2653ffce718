"""Where things stand in the repository, for tests at whatever depth."""

from pathlib import Path

TESTS = Path(__file__).parents[1]
ROOT = TESTS.parent
VECTORS = TESTS / "vectors"
