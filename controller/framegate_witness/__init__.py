"""A witness of logs: cosigns heads that go on from those it cosigned before, and nothing else."""
