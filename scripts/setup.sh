#!/bin/sh
# Makes .venv with everything Framegate's commands, tests and demonstration need. Safe to run again: it does only what is missing.
set -eu
cd "$(dirname "$0")/.."
PYTHON=${PYTHON:-python3}

say() { printf '%s\n' "framegate setup: $*" >&2; }

command -v "$PYTHON" >/dev/null || { say "expected Python 3.11 or later as '$PYTHON', found none: apt-get install python3, or make PYTHON=/path/to/python3"; exit 1; }
"$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    say "expected Python 3.11 or later, found $("$PYTHON" -V 2>&1): install one and run make PYTHON=/path/to/python3.11"; exit 1; }

missing=""
need() { missing="$missing $1"; }
command -v swtpm >/dev/null || need swtpm
{ command -v mosquitto || test -x /usr/sbin/mosquitto; } >/dev/null || need mosquitto
command -v softhsm2-util >/dev/null || need softhsm2
{ /sbin/ldconfig -p 2>/dev/null || ldconfig -p; } | grep -q 'libseccomp\.so\.2' || need libseccomp2
command -v gcc >/dev/null || need gcc
command -v pkg-config >/dev/null || need pkg-config
{ command -v pkg-config && pkg-config --exists tss2-esys; } >/dev/null 2>&1 || need libtss2-dev
"$PYTHON" -c 'import os, sys, sysconfig; sys.exit(not os.path.exists(os.path.join(sysconfig.get_paths()["include"], "Python.h")))' || need python3-dev
"$PYTHON" -c 'import ensurepip, venv' 2>/dev/null || need python3-venv

if [ -n "$missing" ]; then
    command -v apt-get >/dev/null || { say "missing:$missing. This is no Debian or Ubuntu: install them with your package manager, then run make again"; exit 1; }
    if [ "$(id -u)" = 0 ]; then as_root=""; elif sudo -n true 2>/dev/null; then as_root="sudo"; else
        say "missing Debian packages, and I may not install them. Run: sudo apt-get install$missing"; exit 1; fi
    say "installing$missing"
    $as_root apt-get update -q >/dev/null
    # shellcheck disable=SC2086
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $missing >/dev/null
fi

want=$(cat requirements.txt pyproject.toml scripts/setup.sh | sha256sum | cut -d' ' -f1)
if [ "$(cat .venv/framegate-setup 2>/dev/null || true)" != "$want" ] || ! .venv/bin/python -c 'import framegate' 2>/dev/null; then
    say "making .venv (a few minutes on a slow network)"
    test -x .venv/bin/python || "$PYTHON" -m venv .venv
    .venv/bin/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements.txt
    .venv/bin/python -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
    printf '%s' "$want" > .venv/framegate-setup
fi
