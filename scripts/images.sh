#!/bin/sh
# What Containerfiles, the compose file and the manifests have to hold: linted by tools of their own environment.
set -eu
cd "$(dirname "$0")/.."
want=$(sha256sum < requirements-images.txt | cut -d' ' -f1)
if ! grep -qsx "$want" .venv-images/framegate-setup; then
    rm -rf .venv-images
    python3 -m venv .venv-images
    .venv-images/bin/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements-images.txt
    printf '%s\n' "$want" > .venv-images/framegate-setup
fi
.venv-images/bin/hadolint --config packaging/images/hadolint.yaml packaging/images/Containerfile.*
.venv-images/bin/check-jsonschema -q --builtin-schema vendor.compose-spec packaging/images/compose.yaml
.venv-images/bin/kubernetes-validate --strict --quiet packaging/kubernetes/*.yaml
