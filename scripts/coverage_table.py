"""Print coverage by package: python scripts/coverage_table.py build/coverage-report.json."""

import json
import sys
from collections import Counter, defaultdict
from pathlib import Path


def main(report: Path) -> None:
    """One line a package: statements and branches, and those that no test took."""
    packages: dict[str, Counter[str]] = defaultdict(Counter)
    for file, measured in json.loads(report.read_text())["files"].items():
        packages[Path(file).parts[1]].update(measured["summary"])
    print(
        f"{'package':<24}{'statements':>12}{'missed':>8}{'branches':>10}{'missed':>8}{'covered':>9}"
    )
    for package, totals in sorted(packages.items()):
        whole = totals["num_statements"] + totals["num_branches"]
        share = (
            100 * (totals["covered_lines"] + totals["covered_branches"]) / whole if whole else 100
        )
        print(
            f"{package:<24}{totals['num_statements']:>12}{totals['missing_lines']:>8}"
            f"{totals['num_branches']:>10}{totals['missing_branches']:>8}{share:>8.1f}%"
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
