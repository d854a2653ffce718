#!/bin/sh
# Makes .venv with everything that Framegate's commands and demonstrations need; with `dev`, what checks and tests need too.
# Safe to run again: it does only what is missing. With SAY=1 it also says so where nothing was.
set -eu
cd "$(dirname "$0")/.."
PYTHON=${PYTHON:-python3}
LEVEL=${1:-run}
case $LEVEL in run) pins=requirements.txt ;; dev) pins="requirements.txt requirements-dev.txt" ;; *) echo "usage: $0 [run|dev]" >&2; exit 2 ;; esac

say() { printf '%s\n' "framegate setup: $*" >&2; }

command -v "$PYTHON" >/dev/null || { say "expected Python 3.11 or later as '$PYTHON', found none: apt-get install python3, or make PYTHON=/path/to/python3"; exit 1; }
"$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    say "expected Python 3.11 or later, found $("$PYTHON" -V 2>&1): install one and run make PYTHON=/path/to/python3.11"; exit 1; }

missing=""
need() { missing="$missing $1"; }
command -v swtpm >/dev/null || need swtpm
{ command -v mosquitto || test -x /usr/sbin/mosquitto; } >/dev/null || need mosquitto
if [ "$LEVEL" = dev ]; then
    { command -v ip || test -x /sbin/ip; } >/dev/null || need iproute2
    { command -v nft || test -x /usr/sbin/nft; } >/dev/null || need nftables
fi
if [ "$LEVEL" = dev ]; then command -v softhsm2-util >/dev/null || need softhsm2; command -v openssl >/dev/null || need openssl; fi
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

# promtool checks what the project gives to Prometheus. Its program is unpacked, not installed: a package would start a service.
prometheus() {
    if [ "$LEVEL" != dev ] || command -v promtool >/dev/null || test -x .venv/bin/promtool; then return; fi
    command -v apt-get >/dev/null || { say "no promtool here: what it checks is skipped"; return; }
    into=$(mktemp -d)
    here=$(pwd -P)
    # since Debian 13 promtool is a package of its own
    fetch() { (cd "$into" && apt-get download -q prometheus >/dev/null 2>&1 && { apt-get download -q promtool >/dev/null 2>&1 || true; }); }
    # where the lists are old or were never fetched, root fetches them
    if { fetch || { [ "$(id -u)" = 0 ] && apt-get update -q >/dev/null 2>&1 && fetch; }; } && (cd "$into" && for deb in *.deb; do dpkg -x "$deb" .; done) && test -x "$into/usr/bin/promtool"; then
        cp "$into/usr/bin/prometheus" "$into/usr/bin/promtool" "$here/.venv/bin/"
    else
        say "prometheus could not be fetched: what promtool checks is skipped"
    fi
    rm -rf "$into"
}

EVERY_S=${EVERY_S:-10}
stand_there() { find .venv/lib -maxdepth 4 -name '*.dist-info' 2>/dev/null | wc -l; }
# fetched COMMAND…: pip, of whose many lines a person sees how far it is, and where it fails all of them
fetched() {
    lines=$(mktemp)
    # shellcheck disable=SC2086
    all=$(cat $pins | grep -c '^[A-Za-z0-9].*==' || true)
    waited=0 before=$(stand_there)
    "$@" > "$lines" 2>&1 &
    pip=$!
    trap 'kill "$pip" 2>/dev/null; exit 130' INT TERM HUP
    while kill -0 "$pip" 2>/dev/null; do
        stand="$(grep -c '^Collecting ' "$lines" || true) of at most $all packages fetched"
        # pip is silent from here on: what has come to stand in .venv is counted
        if grep -q '^Installing collected' "$lines"; then stand="$(($(stand_there) - before)) of $(grep '^Installing collected' "$lines" | tr ',' '\n' | wc -l) packages installed"; fi
        if [ -t 2 ]; then printf '\r\033[Kframegate setup: %s ' "$stand" >&2
        # a log cannot be rewritten: a line where it goes on, and not every second
        elif [ $((waited % EVERY_S)) = 0 ] && [ "$waited" != 0 ]; then say "$stand after $waited s"; fi
        sleep 1; waited=$((waited + 1))
    done
    if [ -t 2 ]; then printf '\r\033[K' >&2; fi
    trap - INT TERM HUP
    if wait "$pip"; then rm -f "$lines"; else cat "$lines" >&2; rm -f "$lines"; say "the packages could not be fetched: is the network there? Then run make again"; exit 1; fi
}

# An environment is worth something only where it runs this checkout: one that was copied or moved here has another's paths in
# its programs, and runs the other's code.
if [ -e .venv ]; then
    runs=$(.venv/bin/python -c 'import os, sys; import framegate; print(os.path.realpath(sys.prefix)); print(os.path.realpath(framegate.__file__))' 2>/dev/null || true)
    first=$(head -n 1 .venv/bin/framegate 2>/dev/null || true)
    here=$(pwd -P)
    if [ "$runs" != "$(printf '%s\n%s' "$here/.venv" "$here/core/framegate/__init__.py")" ] || { [ "$first" != "#!$here/.venv/bin/python" ] && [ "$first" != "#!$PWD/.venv/bin/python" ] && [ "${first#"#!/bin/sh"}" = "$first" ]; }; then
        if [ -e .venv/framegate-setup ]; then say "the .venv here does not run this checkout (it was copied or moved, or its Python is gone): making it anew"; fi
        rm -rf .venv
    fi
fi

# shellcheck disable=SC2086
want=$(cat $pins pyproject.toml scripts/setup.sh | sha256sum | cut -d' ' -f1)
done_for() { test -e .venv/framegate-setup && grep -qx "$1" .venv/framegate-setup; }
# what tests need holds all that running needs
whole=$(cat requirements.txt requirements-dev.txt pyproject.toml scripts/setup.sh | sha256sum | cut -d' ' -f1)
if ! done_for "$LEVEL $want" && ! done_for "dev $whole"; then
    say "making .venv (a few minutes on a slow network)"
    begun=$(date +%s)
    test -x .venv/bin/python || "$PYTHON" -m venv .venv
    # shellcheck disable=SC2086
    fetched .venv/bin/python -m pip install --disable-pip-version-check --progress-bar off --require-hashes $(printf -- '-r %s ' $pins)
    .venv/bin/python -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
    printf '%s\n' "$LEVEL $want" > .venv/framegate-setup
    made="made in $(($(date +%s) - begun)) s, "
fi
prometheus
if [ "${SAY:-}" = 1 ] || [ -n "${made:-}" ]; then
    what="framegate's commands"
    if done_for "dev $whole"; then what="$what, checks and tests"; fi
    next=""
    if [ "${SAY:-}" = 1 ]; then next=". Next: make try"; fi
    say ".venv has $what, for this checkout ($(.venv/bin/python -V), ${made:-}$(du -sm .venv | cut -f1) MB)$next"
fi
