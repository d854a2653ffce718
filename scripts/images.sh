#!/bin/sh
# Container images out of build/packages, without a registry (`build`), and what their files have to hold (`check`).
set -eu
cd "$(dirname "$0")/.."
say() { printf '%s\n' "framegate images: $*" >&2; }
RUN="--runtime /usr/sbin/runc --isolation oci --network none --ulimit nofile=1024:1024 --pull-never"

check() {
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
}

build() {
    for program in buildah mmdebstrap; do command -v $program >/dev/null || { say "needs root, buildah, runc and mmdebstrap: $program is missing"; exit 1; }; done
    test -e build/packages/packages.json || { say "no packages: run make deb"; exit 1; }
    mkdir -p build/images
    if ! buildah inspect localhost/framegate-base:latest >/dev/null 2>&1; then
        say "making the base"
        rm -rf build/images/base
        mmdebstrap --quiet --variant=minbase --include=python3,ca-certificates,libstdc++6,libseccomp2,libtss2-esys-3.0.2-0,libtss2-fapi1,libtss2-mu0,libtss2-rc0,libtss2-tctildr0,libtss2-tcti-device0,systemd-standalone-sysusers,systemd-standalone-tmpfiles bookworm build/images/base
        base=$(buildah from scratch)
        buildah add -q "$base" build/images/base /
        buildah commit -q "$base" localhost/framegate-base:latest
        buildah rm "$base" >/dev/null
    fi
    for name in ${NAMES:-controller agent gateway line}; do
        cp build/packages/framegate-"$name"_*.deb build/images/framegate-"$name".deb
        # shellcheck disable=SC2086
        buildah bud -q --format docker $RUN -f packaging/images/Containerfile."$name" -t localhost/framegate-"$name":latest build/images
    done
}

case ${1:-build} in check) check ;; build) build ;; *) say "usage: $0 [check|build]"; exit 2 ;; esac
