"""`python -m framegate_simulators.evasion.run`: attacks on the shipped model and its second looks.

Needs PyTorch for attacks by gradient (`scripts/attack_model.sh` makes an environment for it).
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from framegate_host.console import errors, talk
from framegate_simulators.evasion.bars import missed, table
from framegate_simulators.evasion.campaign import Campaign, Outcome
from framegate_simulators.evasion.product import Product
from framegate_simulators.evasion.shots import PartSet, drawn_part, real_part

DESIGN = 7


def attack_model(
    seed: Annotated[int, typer.Option(help="Of every draw: the same seed, the same table.")] = 1,
    bad: Annotated[
        int, typer.Option(min=1, max=60, help="Frames for each attack; 40 for the whole table.")
    ] = 8,
    sound: Annotated[
        int, typer.Option(min=40, max=2000, help="Drawn sound frames held out for false alarms.")
    ] = 100,
    part: Annotated[
        str, typer.Option(help="Only parts with this in their name: thresholded, grey, real.")
    ] = "",
    data: Annotated[
        Path | None,
        typer.Option(exists=True, file_okay=False, help="DeepPCB's folder: real boards, too."),
    ] = None,
    threads: Annotated[int, typer.Option(min=1, max=64, help="Threads.")] = 2,
    out: Annotated[Path, typer.Option(help="Where the numbers go.")] = Path(
        "build/attack-model.json"
    ),
) -> None:
    """Attack the shipped model and its second looks, by gradient, patch, injection, replay and
    contrast, through the product's own path; print what fools the network and what is caught.
    """
    with errors():
        gradient, attempt = _gradient(seed, threads)
        outcomes = []
        for chosen in _parts(part, data, (sound, bad), seed):
            begun = time.monotonic()
            product = Product(seed, threads)
            campaign = Campaign(product, chosen, gradient, attempt, _told)
            outcomes.append(campaign.run())
            for line in table(outcomes[-1]):
                print(line)
            talk.print(f"{chosen.name}: {time.monotonic() - begun:.0f} s")
        out.parent.mkdir(parents=True, exist_ok=True)
        body = {"seed": seed, "parts": [_body(outcome) for outcome in outcomes]}
        out.write_text(json.dumps(body, indent=1))
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


def _parts(named: str, data: Path | None, counts: tuple[int, int], seed: int) -> list[PartSet]:
    sound, bad = counts
    made = {
        "drawn, thresholded": lambda: drawn_part(DESIGN, sound, bad, grey=False, seed=seed),
        "drawn, grey": lambda: drawn_part(DESIGN, sound, bad, grey=True, seed=seed),
    }
    if data is not None:
        made["real"] = lambda: real_part(data, bad, seed)
    return [make() for name, make in made.items() if named in name]


def _told(text: str) -> None:
    talk.print(text)


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
        "attacks": [asdict(row) for row in (outcome.groundless, *outcome.rows)],
    }


if __name__ == "__main__":
    typer.run(attack_model)
