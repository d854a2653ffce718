"""docs/troubleshooting.md: every reason with its meaning, exit codes and what to do.

The words are docs/reasons.toml's; the list, its groups and the exit codes are the code's.
"""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from framegate.access.policy import default_files
from framegate.errors import (
    EvidenceRejected,
    FramegateError,
    Malformed,
    Reason,
    Refused,
    Unavailable,
)
from framegate_host.console import exit_code
from framegate_proto.edge import from_rpc_error, to_status
from made.markdown import table, wrapped

PAGE: Final = "docs/troubleshooting.md"
WORDS: Final = "docs/reasons.toml"
ROOT: Final = Path(__file__).parents[2]
PRODUCT: Final = ("core", "agent", "controller", "proto")
CLASSES: Final[dict[str, type[FramegateError]]] = {
    c.__name__: c for c in (Malformed, EvidenceRejected, Refused, Unavailable)
}
HEAD: Final = """# Troubleshooting, by reason

Made from docs/reasons.toml and `core/framegate/errors.py` by `make pages`; do not edit.

Every failure has a reason, what was expected, what was seen and, where there is something to do,
what to do. The reason is the same word on the screen, in the record, on the wire, in a verdict and
here: look it up below.

SEEN

*Exit code* is what `framegate` ends with where this reason comes first. Programs that serve tell
fewer apart: [exit codes](reference/cli/index.md#exit-codes). A reason without one stands in
verdicts, decisions or findings alone.
"""

SEEN: Final = (
    (
        "a machine that is not trusted",
        "`framegate camera why NAME` or `framegate gateway why NAME`",
    ),
    (
        "verdicts that are UNINSPECTED",
        "`framegate verdict list --outcome UNINSPECTED`, then `framegate gateway status`",
    ),
    (
        "an agent that does not get on",
        "on the machine, as the agent's user: `framegate-agent status`, then"
        " `framegate-agent doctor`",
    ),
    (
        "a command that is denied",
        "`framegate auth can-i VERB ZONE`, then `framegate access list`",
    ),
    ("parts that all divert", "`framegate-line status` beside the PLC, then the verdicts"),
    (
        "nothing that you would have expected",
        "`framegate events`, `framegate top`, `framegate audit list`",
    ),
)


def pages() -> dict[str, str]:
    """The page by its path. Raises ValueError where words and reasons do not match."""
    texts = tomllib.loads((ROOT / WORDS).read_text("utf-8"))
    known = {r.value for r in Reason}
    if set(texts) != known:
        raise ValueError(
            f"{WORDS}: without words, or without a reason: {sorted(set(texts) ^ known)}"
        )
    raised = _raised()
    parts = [HEAD.rstrip().replace("SEEN", table(("you see", "look first at"), SEEN).rstrip())]
    for title, reasons in _groups():
        parts.append(f"## {title[0].upper()}{title[1:]}")
        for reason in reasons:
            said = texts[reason.value]
            codes = sorted(c for kind in raised.get(reason, set()) for c in _codes(kind, reason))
            code = ", ".join(dict.fromkeys(map(str, codes)))
            parts += [f"### {reason.value}", wrapped(said["means"])]
            parts.append(wrapped(f"**Do.** {said['do']}"))
            if code:
                parts.append(f"*Exit code:* {code}.")
    return {PAGE: "\n\n".join(parts) + "\n"}


def _groups() -> Iterator[tuple[str, list[Reason]]]:
    """The groups of `Reason`, as the comments in its source have them."""
    source = (ROOT / "core/framegate/errors.py").read_text("utf-8")
    body = source.split("class Reason(StrEnum):", 1)[1].split("\n\n\n", 1)[0]
    title, members = "others", list[Reason]()
    for line in body.splitlines():
        if comment := re.fullmatch(r"    # (.+)", line):
            if members:
                yield title, members
            title, members = comment[1], []
        elif member := re.fullmatch(r"    ([A-Z_]+) = \"[^\"]+\"(?:  #.*)?", line):
            members.append(Reason[member[1]])
    yield title, members


def _raised() -> dict[Reason, set[type[FramegateError]]]:
    """By which classes of error each reason is raised: from the code and the default policy."""
    kinds: dict[Reason, set[type[FramegateError]]] = {}
    for folder in PRODUCT:
        for file in sorted((ROOT / folder).rglob("*.py")):
            if "_pb2" not in file.name:
                text = file.read_text("utf-8")
                for kind, reason in _in(ast.parse(text)) if "Reason." in text else ():
                    kinds.setdefault(reason, set()).add(kind)
    for text in default_files().values():
        for name in re.findall(r'@reason\("([^"]+)"\)', text):
            kinds.setdefault(Reason(name), set()).add(Refused)
    return kinds


def _in(tree: ast.AST) -> Iterator[tuple[type[FramegateError], Reason]]:
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        kind = _kind(node.func)
        for reason in _reasons(node) if kind is not None else ():
            yield kind, reason


def _kind(called: Any) -> type[FramegateError] | None:
    """The class of error that a call makes; failures of evidence are what `Failure` stands for."""
    if (
        isinstance(called, ast.Attribute)
        and called.attr == "of"
        and isinstance(called.value, ast.Name)
    ):
        return CLASSES.get(called.value.id)
    name = called.id if isinstance(called, ast.Name) else ""
    return EvidenceRejected if name in {"Failure", "_rejected", "_at"} else None


def _reasons(node: ast.Call) -> Iterator[Reason]:
    for argument in node.args[:2]:
        for part in ast.walk(argument):
            of = part.value if isinstance(part, ast.Attribute) else None
            if isinstance(of, ast.Name) and of.id == "Reason" and part.attr in Reason.__members__:
                yield Reason[part.attr]


class _Answer:
    """A refused call as a client sees it."""

    def __init__(self, error: FramegateError) -> None:
        self._status, self._details, self._metadata = to_status(error)

    def code(self) -> Any:
        return self._status

    def details(self) -> str:
        return self._details

    def trailing_metadata(self) -> Any:
        return self._metadata


def _codes(kind: type[FramegateError], reason: Reason) -> set[int]:
    """The exit codes of that error, raised here or at the other end of a call."""
    error = kind.of(reason, "", "")
    return {exit_code(error), exit_code(from_rpc_error(_Answer(error), ""))}
