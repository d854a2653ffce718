"""`framegate part learn`: a golden image out of frames that go by; of a part that is new to the
fleet, in force at once where somebody says so.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from framegate.errors import Reason, Refused
from framegate.signed.inspected import LOOSE
from framegate.signed.part_rules import relearnt
from framegate_host.console import ask, safe, talk, typed
from framegate_host.private_files import require_place, write_private
from framegate_operator.answers import json_object, reading
from framegate_operator.connection import (
    gateway_stub,
    load_context,
    operator_stub,
    with_approval,
)
from framegate_operator.contexts import OperatorContext
from framegate_operator.masks import read_regions, regions_text
from framegate_operator.options import WRITE, Context
from framegate_operator.output import errors
from framegate_operator.part_types import awaited_unknown, file_name, one_gateway, tell_unseen
from framegate_proto.v1 import framegate_pb2 as pb

OUTLINE_SUFFIX: Final = ".outline.toml"
"""Of the file beside a learnt golden image."""


@dataclass(frozen=True, slots=True)
class LearntPart:
    """What was learnt of a part type: its golden image, what in it is the part where that stands
    off, and on how many percent of the picture good frames vary by more than `LOOSE`.
    """

    part_type: str
    golden: Path
    outline: Path | None
    tolerant: int
    known: bool
    """Whether the fleet has rules for it: they are kept."""

    @property
    def adding(self) -> str:
        """The command that puts it in force."""
        more = f"--outline {typed(self.outline)} " if self.outline else ""
        more += f"--tolerant {self.tolerant} " if self.tolerant else ""
        more += "--keep " if self.known else ""
        return (
            f"framegate part add {typed(self.part_type)} --golden {typed(self.golden)} "
            f"{more}--source TEXT"
        )

    def request(self, source: str) -> pb.AddPartRequest:
        """The part as the model's own rules judge it."""
        outline = read_regions(self.outline, Reason.PART) if self.outline else []
        rules = relearnt(None, outline, self.tolerant)
        return pb.AddPartRequest(
            part_type=self.part_type,
            goldens=[self.golden.read_bytes()],
            rules=json.dumps(rules).encode(),
            source=source,
        )


def learn(  # noqa: PLR0913 - a command's options
    part_type: Annotated[
        str, typer.Argument(help="As cameras send it; default: the only one that is unknown.")
    ] = "",
    out: Annotated[
        Path | None, typer.Option("--out", help="PNG to write; default: TYPE.png.")
    ] = None,
    frames: Annotated[int, typer.Option(min=5, max=64, help="Good frames to learn from.")] = 12,
    gateway: Annotated[
        str, typer.Option(help="The gateway that sees the part; default: the only one.")
    ] = "",
    wait_s: Annotated[
        int, typer.Option("--for", min=1, max=600, help="Seconds to wait for frames.")
    ] = 60,
    verdict: Annotated[
        list[str] | None,
        typer.Option(help="Learn from the frame of this verdict, and wait for none; repeat it."),
    ] = None,
    source: Annotated[
        str,
        typer.Option(
            "--source",
            help="Where these parts are from: put a part that is new to the fleet in force at "
            "once. At a terminal it is asked for.",
        ),
    ] = "",
    context: Context = None,
) -> None:
    """Learn a golden image from the next good frames of a part on a gateway. Look at it; a part
    that is new to the fleet counts once you say where it is from, another by: framegate part add.
    """
    with errors():
        require_place(out)
        operator = load_context(context)
        device, address = one_gateway(operator, gateway)
        named, part_type = part_type, part_type or awaited_unknown(operator, device, wait_s)
        known = _is_known(operator, part_type)
        if known and source:
            wanted = f"{part_type} to be new to the fleet, beside --source"
            hint = "learn it without --source; framegate part add --keep keeps its rules"
            raise Refused.of(Reason.CONFLICT, wanted, "known: it has rules of its own", hint)
        request = pb.LearnGoldenRequest(
            part_type=part_type,
            frames=frames,
            timeout_s=wait_s,
            reason=WRITE.get().reason,
            verdict_ids=verdict or (),
        )
        if not verdict:
            talk.print(
                f"waiting for {frames} frames of {safe(part_type)} at {safe(device)}, "
                f"at most {wait_s} s"
            )
        if named and not verdict:
            tell_unseen(operator, device, part_type)
        with gateway_stub(operator, device, address, timeout_s=wait_s + 30) as stub:
            reply = with_approval(
                operator,
                device,
                "part.learn",
                request,
                stub.LearnGolden,
            )
        if WRITE.get().dry_run:
            return
        learnt = _kept(part_type, out or Path(file_name(part_type)), reply, known=known)
        source = source or ("" if known else _asked(learnt))
        if source:
            _put_in_force(operator, learnt, source)
        else:
            talk.print(f"look at it, then: {learnt.adding}")


def _is_known(operator: OperatorContext, part_type: str) -> bool:
    """Whether the fleet has rules for it, which another `part add` would replace."""
    with operator_stub(operator) as stub:
        return any(r.part_type == part_type for r in stub.ListParts(pb.ListRequest()).parts)


def _kept(part_type: str, target: Path, reply: Any, *, known: bool) -> LearntPart:
    """Write what was learnt beside `target`, and say what it is worth."""
    write_private(target, reply.image)
    facts = json_object(reply.facts, "what was learnt of the part")
    with reading("what was learnt of the part, in words"):
        outline = target.with_suffix(OUTLINE_SUFFIX) if facts["outline"] else None
        if outline is not None:
            write_private(outline, regions_text(facts["outline"]).encode())
            talk.print(f"{safe(outline)}: what of it is the part, as far as it stands off")
        else:
            talk.print("nothing in it stands off a background: shares are of the picture")
        left = (
            f", {len(facts['left_out'])} left out that show something else"
            if facts["left_out"]
            else ""
        )
        talk.print(
            f"{safe(target)} from {facts['used']} frames{safe(left)}; "
            f"largest shift {facts['largest_shift_px']} px; "
            f"the frame most unlike it differs in {100 * facts['differing_share']:.2f} %"
        )
        if facts["most_tolerated"]:
            talk.print(
                "what good frames vary by is tolerated, by"
                f" {facts['most_tolerated']} grey levels at most; by more than {LOOSE} on"
                f" {facts['tolerant_percent']} % of the picture, where it is transparent"
            )
        return LearntPart(part_type, target, outline, facts["tolerant_percent"], known)


def _asked(learnt: LearntPart) -> str:
    """Where the parts are from, of whoever looks at the picture; empty where nobody can be asked,
    or it shall not count so far.
    """
    if not _at_a_terminal():
        return ""
    words = f"look at {learnt.golden}; where are these parts from, a lot? (empty: not in force)"
    return ask(words, default="", show_default=False).strip()


def _at_a_terminal() -> bool:
    return sys.stdin.isatty()


def _put_in_force(operator: OperatorContext, learnt: LearntPart, source: str) -> None:
    with operator_stub(operator) as stub:
        row = stub.AddPart(learnt.request(source))
    talk.print(f"[green]part {safe(row.part_type)} is in force[/], version {row.version}")
    talk.print("next: framegate verdict watch")
