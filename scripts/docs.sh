#!/bin/sh
# Builds the documentation's site into build/site, in an environment of its own (.venv-docs). Strict: a warning fails.
set -eu
cd "$(dirname "$0")/.."
want=$(sha256sum < requirements-docs.txt | cut -d' ' -f1)
if [ "$(cat .venv-docs/framegate-docs 2>/dev/null || true)" != "$want" ]; then
    echo "framegate docs: making .venv-docs" >&2
    test -x .venv-docs/bin/python || .venv/bin/python -m venv .venv-docs
    .venv-docs/bin/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements-docs.txt
    printf '%s' "$want" > .venv-docs/framegate-docs
fi
rm -rf build/site
.venv-docs/bin/python -m sphinx -q -W --keep-going -b html -d build/site-doctrees -c docs . build/site
echo "build/site/index.html" >&2
