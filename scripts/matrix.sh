#!/bin/sh
# Runs Framegate's commands as a newcomer would, each in a bare root file system of its own: nothing but the system's
# smallest set of packages, Python, git and make. Needs root, mmdebstrap and a mirror of the systems that are named.
#   SYSTEMS="debian:bookworm debian:trixie ubuntu:noble"   COMMANDS="make demo;make test"   ./scripts/matrix.sh
# A system whose mirror does not answer is told and left out; one whose command fails fails the run.
set -eu
cd "$(dirname "$0")/.."
SYSTEMS=${SYSTEMS:-debian:bookworm debian:trixie debian:forky ubuntu:noble}
COMMANDS=${COMMANDS:-make demo;make test}
DEBIAN_MIRROR=${DEBIAN_MIRROR:-http://deb.debian.org/debian}
UBUNTU_MIRROR=${UBUNTU_MIRROR:-http://archive.ubuntu.com/ubuntu}
REPO=$PWD
OUT=${OUT:-$REPO/build/matrix}
BARE=apt,ca-certificates,git,make,python3

say() { printf '%s\n' "framegate matrix: $*" >&2; }
[ "$(id -u)" = 0 ] || { say "expected root, who may make root file systems: sudo make matrix"; exit 1; }
command -v mmdebstrap >/dev/null || { say "expected mmdebstrap: apt-get install mmdebstrap"; exit 1; }
mkdir -p "$OUT"

# base SYSTEM TAR: the bare system as a tar file, made once
base() {
    [ -s "$2" ] && return
    case $1 in
        debian:*) mirror=$DEBIAN_MIRROR components=main keyring= ;;
        ubuntu:*) mirror=$UBUNTU_MIRROR components=main,universe keyring=--keyring=/usr/share/keyrings/ubuntu-archive-keyring.gpg ;;
        *) say "expected debian:SUITE or ubuntu:SUITE, got $1"; exit 1 ;;
    esac
    # shellcheck disable=SC2086
    mmdebstrap --quiet --format=tar --variant=minbase --components=$components $keyring --include=$BARE "${1#*:}" "$2.part" "$mirror" && mv "$2.part" "$2"
}

# enter ROOT COMMAND: as a login on that machine; of this one it gets the network's names and what pip and TLS need to get out.
# /dev/shm is its own: tests on the host take away what processes left there that do not live, by numbers of theirs.
# pivot_root and not chroot, in which the kernel gives nobody a user namespace
enter() {
    root=$1
    cp /etc/resolv.conf "$root/etc/resolv.conf"
    for file in /etc/pip.conf /etc/ssl/certs/ca-certificates.crt; do if [ -e "$file" ]; then mkdir -p "$root$(dirname "$file")" && cp -L "$file" "$root$file"; fi; done
    outside=$(env | grep -E '^(PIP_(INDEX_URL|EXTRA_INDEX_URL|CERT|DEFAULT_TIMEOUT)|SSL_CERT_FILE|REQUESTS_CA_BUNDLE|https?_proxy|no_proxy)=' || true)
    # shellcheck disable=SC2086
    unshare --mount --pid --fork sh -eu -c '
        mount --bind "$0" "$0" && mount --rbind /dev "$0/dev" && mount -t proc proc "$0/proc"
        mount -t tmpfs tmpfs "$0/dev/shm" && mount -t tmpfs tmpfs "$0/tmp" && mount -t tmpfs tmpfs "$0/run" && mkdir "$0/run/before"
        cd "$0" && pivot_root . run/before && umount -l run/before && rmdir run/before
        exec /usr/bin/env -i HOME=/root LANG=C.UTF-8 PATH=/usr/sbin:/usr/bin:/sbin:/bin '"$(printf '%s ' $outside)"' sh -c "cd /root/framegate && $1"
    ' "$root" "$2"
}

rows="" failed=0
for system in $SYSTEMS; do
    name=$(printf '%s' "$system" | tr : -)
    if ! base "$system" "$OUT/$name.tar" 2>"$OUT/$name.base.log"; then
        say "$system left out, no such system could be made: $(tail -n 1 "$OUT/$name.base.log")"
        rows="$rows$system|-|-|left out|-\n"
        continue
    fi
    root=$OUT/$name
    rm -rf "$root" && mkdir "$root" && tar -xf "$OUT/$name.tar" -C "$root" --exclude=./dev/*
    git clone -q --no-hardlinks "file://$REPO" "$root/root/framegate"
    python=$(enter "$root" "python3 -V" | cut -d' ' -f2)
    rest=$COMMANDS
    while [ -n "$rest" ]; do
        command=${rest%%;*}
        case $rest in *\;*) rest=${rest#*;} ;; *) rest="" ;; esac
        log=$OUT/$name.$(printf '%s' "$command" | tr -c 'a-z0-9\n' -).log
        say "$system, Python $python: $command (log: $log)"
        begun=$(date +%s)
        if enter "$root" "$command" >"$log" 2>&1 </dev/null; then what=passed; else what=FAILED failed=1; tail -n 15 "$log" >&2; fi
        rows="$rows$system|$python|$command|$what|$(($(date +%s) - begun)) s\n"
    done
    rm -rf "$root"
done
# shellcheck disable=SC2059
printf "system|Python|command||took\n$rows" | tee "$OUT/matrix.txt" | column -t -s '|'
exit $failed
