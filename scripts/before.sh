#!/bin/sh
# Puts the version before, BEFORE (v0.1.0), with an environment of its own, into build/before.
set -eu
cd "$(dirname "$0")/.."
BEFORE=${BEFORE:-v0.1.0}
git rev-parse -q --verify "$BEFORE^{commit}" >/dev/null || {
    echo "expected the tag $BEFORE here, found none: git fetch --tags" >&2; exit 1; }
commit=$(git rev-parse "$BEFORE^{commit}")
if [ "$(cat build/before/.commit 2>/dev/null)" != "$commit" ]; then
    rm -rf build/before
    mkdir -p build/before
    git archive "$commit" | tar -x -C build/before
    echo "$commit" > build/before/.commit
fi
make -s -C build/before setup
