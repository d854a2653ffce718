#!/bin/sh
# Branch coverage of all product packages over every test, with the processes that tests start.
# Prints a table by package and the core's files that are not covered whole.
# Fails where a test fails or the core is under 97 %.
set -eu
cd "$(dirname "$0")/.."
PY=.venv/bin/python
mkdir -p build
rm -f build/coverage build/coverage.* build/measured
failed=0
$PY -m pytest -n auto --cov --cov-report= "$@" || failed=$?
# under a name of its own: processes that end late would add their part to what is shown
mv build/coverage build/measured
$PY -m coverage json -q --data-file=build/measured -o build/coverage-report.json
$PY scripts/coverage_table.py build/coverage-report.json
$PY -m coverage report --data-file=build/measured --include='core/framegate/*' \
    --skip-covered --show-missing --fail-under=97
exit "$failed"
