#!/bin/sh
# Branch coverage of all product packages over every test, with the processes that tests start.
# Prints a table by package and the core's files that are not covered whole.
# Fails where the core is under 97 %.
set -eu
cd "$(dirname "$0")/.."
PY=.venv/bin/python
mkdir -p build
$PY -m coverage erase
$PY -m pytest -n auto --cov --cov-report= "$@"
$PY -m coverage json -q -o build/coverage-report.json
$PY scripts/coverage_table.py build/coverage-report.json
$PY -m coverage report --include='core/framegate/*' --skip-covered --show-missing --fail-under=97
