"""Write the pages that are made from declarations.

With --check nothing is written: exit code 1 where a committed page is stale, or where a page's
example is no command of a program.
"""

import sys
from pathlib import Path

from made import (
    assessment,
    cli,
    decisions,
    events,
    examples,
    layers,
    monitoring,
    policy,
    reasons,
    settings,
)

ROOT = Path(__file__).parents[1]
KINDS = (assessment, events, cli, reasons, policy, decisions, settings, layers, monitoring)


def main() -> int:
    """0 where every page is as it would be made."""
    check = "--check" in sys.argv[1:]
    written = {ROOT / path: text for kind in KINDS for path, text in kind.pages().items()}
    stale = [p for p, text in written.items() if not p.exists() or p.read_text("utf-8") != text]
    for path in stale:
        if check:
            print(f"{path.relative_to(ROOT)} is stale: run make pages", file=sys.stderr)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(written[path], "utf-8")
    wrong = examples.wrong(ROOT) if check else []
    for line in wrong:
        print(line, file=sys.stderr)
    return 1 if wrong or (check and stale) else 0


if __name__ == "__main__":
    raise SystemExit(main())
