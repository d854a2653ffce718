"""What a run of the fleet simulator reports, as far as queueing is simulated from it."""

from typing import Any


def measured_run(**changes: Any) -> dict[str, Any]:
    """600 machines, each every minute; `changes` of its members."""
    way = {"turns": 40, "database_ms": 0.0, "begin_ms": 3.0, "visits": 30}
    one = {"at_once": 1, "per_s": 90.0, "controller_ms": 6.0, "machine_ms": 1.5}
    many = {"at_once": 64, "per_s": 300.0, "controller_ms": 3.0, "machine_ms": 1.0}
    together = [one, many | {"at_once": 16, "controller_ms": 4.0}, many]
    body = {
        "plan": {
            "devices": 600,
            "interval_s": 60.0,
            "settling": 60.0,
            "seconds": 90.0,
            "jitter": 0.1,
            "workers": 2,
        },
        "enrolments": {"per_s": 100.0},
        "attestations": {"per_s": 10.0, "p50_ms": 13.0, "p99_ms": 40.0, "controller_cores": 0.1},
        "ways": {"kept": {"done": 90}, "new": {"done": 10}, "join": {"done": 0}},
        "alone": {
            "idle": {"cores": 0.03, "piece_ms": 0.1},
            "kept": way
            | {"p50_ms": 12.0, "controller_ms": 8.0, "machine_ms": 2.0, "together": together},
            "new": way
            | {"p50_ms": 24.0, "controller_ms": 13.0, "machine_ms": 5.0, "together": together},
            "join": way | {"turns": 0, "p50_ms": 0.0, "controller_ms": 0.0, "machine_ms": 0.0},
        },
    }
    return body | changes
