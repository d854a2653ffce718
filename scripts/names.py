"""Check that what others rely on does not change in silence.

Public names are commands and their options, settings, verbs, calls and messages, events and
reasons. Each that came or went since the last version stands in the changelog under Unreleased;
each event and reason is spoken of by a test. With --freeze, those of this version are kept in
docs/reference/names/ instead: a step of making a release.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from framegate.access.verbs import verbs
from framegate.errors import Reason
from framegate.record.events import events
from framegate_host.setting_records import declared
from framegate_proto.v1 import framegate_pb2 as pb
from made.commands import programs
from made.settings import RECORDS

ROOT: Final = Path(__file__).parents[1]
KEPT: Final = ROOT / "docs/reference/names"
UNTESTED: Final = frozenset(
    {
        "event rollout-shadow",
        "event security-key-added",
        "reason boot-log-required",
        "reason device-unknown",
        "reason frame-head",
        "reason ima-list-required",
    }
)
"""Names that no test speaks of yet. They leave this list with their test; none is added."""


def main() -> int:
    """0 where nothing is wrong; each fault is a line on standard error."""
    now = frozenset(_names())
    if "--freeze" in sys.argv[1:]:
        version = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
        KEPT.mkdir(exist_ok=True)
        (KEPT / f"{version}.txt").write_text("\n".join(sorted(now)) + "\n", "utf-8")
        return 0
    faults = [*_untold(now), *_untested(now)]
    for fault in faults:
        print(fault, file=sys.stderr)
    return 1 if faults else 0


def _names() -> Iterator[str]:
    """Every public name: a kind, a space, and the name."""
    for program in programs().values():
        for command in program.leaves():
            yield f"command {command.path}"
            yield from (f"option {command.path} {option}" for option in command.options)
    for record in RECORDS:
        yield from (f"setting {record.PROGRAM}.{name}" for name in declared(record))
    for name, service in pb.DESCRIPTOR.services_by_name.items():
        yield from (f"call {name}.{method.name}" for method in service.methods)
    for name, message in pb.DESCRIPTOR.message_types_by_name.items():
        yield from (f"message {name}.{field.name}" for field in message.fields)
    yield from (f"verb {name}" for name in verbs())
    yield from (f"event {name}" for name in events())
    yield from (f"reason {reason.value}" for reason in Reason)


def _untold(now: frozenset[str]) -> Iterator[str]:
    """Names that changed since the last version and that the changelog does not speak of."""
    kept = sorted(KEPT.glob("*.txt"), key=lambda p: tuple(map(int, p.stem.split("."))))
    if not kept:
        return
    before = frozenset(kept[-1].read_text("utf-8").splitlines())
    log = (ROOT / "CHANGELOG.md").read_text("utf-8")
    told = re.split(r"^## ", log, flags=re.M)[1]
    changed = now ^ before
    for name in sorted(changed):
        kind, _, spelled = name.partition(" ")
        if kind == "option" and f"command {spelled.rpartition(' ')[0]}" in changed:
            continue
        said = spelled.split()[-1] if kind in {"command", "option"} else spelled
        if said not in told and said.rpartition(".")[2] not in told:
            what = "new" if name in now else "gone"
            yield f"CHANGELOG.md says nothing under Unreleased of the {what} {name}"


def _untested(now: frozenset[str]) -> Iterator[str]:
    """Events and reasons that no test speaks of, by value, member or class."""
    tests = "\n".join(p.read_text("utf-8") for p in sorted((ROOT / "tests").rglob("*.py")))
    spoken = {f"reason {r.value}": (f"Reason.{r.name}", f'"{r.value}"') for r in Reason}
    spoken |= {f"event {name}": (name, cls.__name__) for name, cls in events().items()}
    for name in sorted(now & spoken.keys() - UNTESTED):
        if not any(spelled in tests for spelled in spoken[name]):
            yield f"no test speaks of the {name}"


if __name__ == "__main__":
    raise SystemExit(main())
