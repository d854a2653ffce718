"""The page's verifier outside a browser: the very file of the worker, in Node's JavaScript."""

import json
import shutil
import subprocess
from dataclasses import dataclass

import pytest

from support.paths import ROOT

FILE = ROOT / "controller/framegate_console/static/verifier.js"
NODE = shutil.which("node") or shutil.which("nodejs")
_RUN = """
const { verified } = require(process.argv[1]);
let text = "";
process.stdin.on("data", (part) => { text += part; });
process.stdin.on("end", async () => {
  const told = [];
  for (const [receipt, root] of JSON.parse(text)) told.push(await verified(receipt, root));
  console.log(JSON.stringify(told));
});
"""


@dataclass(frozen=True)
class Told:
    """What the worker would post to its page."""

    state: str
    check: str
    text: str
    passed: tuple[str, ...]


def page_verified(pairs) -> list[Told]:
    """What it says of each (receipt as text, root in PEM); all in one process."""
    if NODE is None:
        pytest.skip("no Node here, which runs the page's worker without a browser: nodejs")
    asked = json.dumps([[receipt, root.decode()] for receipt, root in pairs])
    done = subprocess.run(  # noqa: PLW1510 - read below
        [NODE, "-e", _RUN, str(FILE)], input=asked, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return [
        Told(t["state"], t["check"], t["text"], tuple(t["passed"])) for t in json.loads(done.stdout)
    ]
