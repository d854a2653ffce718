#!/bin/sh
# Fuzzes every parser for SECONDS (600), from the corpus in tests/vectors/corpus. Installs atheris into .venv, which nothing else needs.
set -eu
cd "$(dirname "$0")/.."
.venv/bin/python -c 'import atheris' 2>/dev/null || .venv/bin/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements-fuzz.txt || {
    echo "atheris could not be installed: it has builds for Linux on x86-64 and Python 3.11 to 3.13; the corpus is run by make test all the same" >&2; exit 1; }
exec .venv/bin/python -m framegate_simulators.fuzz.run --seconds "${SECONDS_TOTAL:-600}" "$@"
