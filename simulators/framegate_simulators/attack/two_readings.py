"""N240: one signature of a gateway that was taken over, under a text that two readers read as two
verdicts.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Final, NamedTuple
from unittest.mock import patch

from framegate.receipt_verifier import main as verifier
from framegate.signed.receipt import verdict_leaf
from framegate_host.private_files import private_folder
from framegate_simulators.attack.target import Seen, Target, attempt
from framegate_simulators.fixtures.receipts_desk import ReceiptsDesk

LEAF: Final = "framegate_gateway.verdicts.maker.verdict_leaf"
FAILED: Final = 6
"""Of `receipt_verifier.py` and `framegate receipt verify`, where a receipt does not hold."""


class Rewritten(NamedTuple):
    """What of a leaf the gateway writes otherwise before it signs."""

    before: str
    after: str


SOUND: Final = Rewritten('"outcome":"PASS"', '"outcome":"PASS"')
TWO_WAYS: Final = (
    Rewritten('"outcome":"PASS"', '"outcome":"DEFECT","outcome":"PASS"'),
    Rewritten('"outcome":"PASS"', r'"outcom\u0065":"DEFECT","outcome":"PASS"'),
    Rewritten('"execution_time_ms":1.0', '"execution_time_ms":NaN'),
)


def signed_as(t: Target, folder: Path, rewritten: Rewritten) -> dict[str, Any]:
    """A receipt with every proof, whose leaf a gateway of the fleet wrote so."""

    def leaf(*given: Any, **how: Any) -> bytes:
        text = verdict_leaf(*given, **how).decode()
        if rewritten.before not in text:
            raise AssertionError(text)
        return text.replace(*rewritten).encode()

    async def made() -> dict[str, Any]:
        desk = ReceiptsDesk(t.keys, folder)
        try:
            with patch(LEAF, leaf):
                await desk.frame(1)
            desk.sign()
            await desk.head()
            desk.log()
            return desk.receipts()[0]
        finally:
            desk.store.close()

    return asyncio.run(made())


@attempt("N240", "a receipt whose one signature covers PASS and DEFECT, to two verifiers")
def n240(t: Target) -> Seen:
    folder = private_folder(t.plant.folder / "two-readings")
    root = folder / "root.pem"
    root.write_bytes(t.keys.root.pem)
    ends = []
    for number, rewritten in enumerate((SOUND, *TWO_WAYS)):
        file = folder / f"{number}.json"
        file.write_text(json.dumps(signed_as(t, folder / str(number), rewritten)))
        alone = [sys.executable, verifier.__code__.co_filename, "--root", str(root), str(file)]
        first = subprocess.run(alone, check=False, capture_output=True)
        argv = ("receipt", "verify", file, "--root", root)
        ends += [first.returncode, t.plant.framegate(*argv, check=False).returncode]
    refused = ends[:2] == [0, 0] and set(ends[2:]) == {FAILED}
    return Seen(refused, f"sound: exit {ends[:2]}; each in two ways: exit {sorted(set(ends[2:]))}")
