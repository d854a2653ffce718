"""`framegate-sim attack-model`: attacks on the shipped model and its second looks, part by part.

Needs PyTorch for attacks by gradient (`scripts/attack_model.sh` makes an environment for it).
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from framegate_host.console import talk
from framegate_simulators.evasion.bars import missed, table
from framegate_simulators.evasion.campaign import Campaign, Outcome, Row
from framegate_simulators.evasion.product import Product
from framegate_simulators.evasion.shots import PartSet, drawn_part, real_part

DESIGN: Final = 7


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to run: `bad` frames for each attack, `sound` drawn ones held out for false alarms, on
    parts whose name has `part` in it, DeepPCB's under `data` among them where it is given.
    """

    seed: int
    bad: int
    sound: int
    part: str
    data: Path | None
    threads: int


def attack_model(wanted: Wanted, out: Path) -> None:
    """Attack, print the tables, write the numbers to `out`. Raises Unavailable, Malformed
    (DATA_SET).
    """
    gradient, attempt = _gradient(wanted.seed, wanted.threads)
    outcomes: list[Outcome] = []
    out.parent.mkdir(parents=True, exist_ok=True)
    for chosen in _parts(wanted):
        begun = time.monotonic()
        product = Product(wanted.seed, wanted.threads)
        outcomes.append(Campaign(product, chosen, gradient, attempt, talk.print).run())
        for line in table(outcomes[-1]):
            print(line, flush=True)
        talk.print(f"{chosen.name}: {time.monotonic() - begun:.0f} s")
        # each part as it is done: the next one may take an hour
        out.write_text(as_json(wanted.seed, outcomes))
    names = [name for outcome in outcomes for name in missed(outcome)]
    print(f"bars missed: {'; '.join(names) or 'none'}")


def _gradient(seed: int, threads: int) -> Any:
    try:
        import torch
    except ImportError:
        talk.print(
            "no PyTorch here: attacks by gradient are left out; make attack-model brings one"
        )
        return None, None
    from framegate_gateway.inference.bundle import DEFAULT_BUNDLE, load_bundle
    from framegate_simulators.evasion.gradient import Attempt, Gradient

    torch.set_num_threads(threads)
    return Gradient(load_bundle(DEFAULT_BUNDLE).recipe, seed), Attempt


def _parts(wanted: Wanted) -> Iterator[PartSet]:
    """One after the other: each is a few hundred megabytes of pictures."""
    for grey in (False, True):
        if wanted.part in f"drawn, {'grey' if grey else 'thresholded'}":
            yield drawn_part(DESIGN, wanted.sound, wanted.bad, grey=grey, seed=wanted.seed)
    if wanted.data is not None and wanted.part in "real":
        yield real_part(wanted.data, wanted.bad, wanted.seed)


def as_json(seed: int, outcomes: Sequence[Outcome]) -> str:
    """The numbers of the tables."""
    return json.dumps({"seed": seed, "parts": [_body(one) for one in outcomes]}, indent=1)


def _body(outcome: Outcome) -> dict[str, Any]:
    alarms = outcome.alarms
    return {
        "part": outcome.part,
        "limits": [limit.row() for limit in outcome.proposal.limits],
        "warnings": list(outcome.proposal.warnings),
        "false_alarms": {
            "frames": alarms.frames,
            "withheld": alarms.withheld,
            "called_bad_by_the_network": alarms.wrong,
            "by": dict(alarms.by),
        },
        "attacks": [_row(row) for row in (outcome.groundless, *outcome.rows)],
    }


def _row(row: Row) -> dict[str, Any]:
    numbers = {"tried": row.tried, "fell": row.fell, "caught": row.caught}
    return {"attack": row.attack, **numbers, "by": dict(row.by)}
