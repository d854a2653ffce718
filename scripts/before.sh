#!/bin/sh
# Puts the version before, BEFORE (v0.1.0), with an environment of its own, into build/before.
set -eu
cd "$(dirname "$0")/.."
BEFORE=${BEFORE:-v0.1.0}
# a clone may have no tags: what made a version is the commit that froze its names
commit=$(git rev-parse -q --verify "$BEFORE^{commit}") ||
    commit=$(git log --diff-filter=A --format=%H -1 -- "docs/reference/names/${BEFORE#v}.*")
[ -n "$commit" ] || {
    echo "expected the tag $BEFORE or its commit here, found neither: git fetch --tags --unshallow" >&2; exit 1; }
if [ "$(cat build/before/.commit 2>/dev/null)" != "$commit" ]; then
    rm -rf build/before
    mkdir -p build/before
    git archive "$commit" | tar -x -C build/before
    echo "$commit" > build/before/.commit
fi
make -s -C build/before setup
