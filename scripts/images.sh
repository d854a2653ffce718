#!/bin/sh
# Container images: `check` lints what they are made of, by tools of their own environment; `build`
# makes them from the packages of the last `make deb` and Debian's own, without a registry. Both say
# why where they cannot.
set -eu
cd "$(dirname "$0")/.."
made=build/images
servers="agent controller gateway line console"

# What a program says, where it fails
quiet() {
    said=$("$@" 2>&1) || { printf '%s\n' "$said" >&2; return 1; }
}

tools() {
    want=$(sha256sum < requirements-images.txt | cut -d' ' -f1)
    grep -qsx "$want" .venv-images/framegate-setup && return
    rm -rf .venv-images
    python3 -m venv .venv-images
    if ! .venv-images/bin/python -m pip install -q --disable-pip-version-check --require-hashes \
        -r requirements-images.txt; then
        # without its tools nothing is linted: that may be so at a desk, and not where it is merged
        echo "container files are NOT linted: their tools could not be fetched" >&2
        if [ -n "${CI:-}" ]; then exit 1; fi
        exit 0
    fi
    printf '%s\n' "$want" > .venv-images/framegate-setup
}

check() {
    tools
    .venv-images/bin/hadolint --config packaging/images/hadolint.yaml \
        packaging/images/Containerfile.*
    quiet .venv-images/bin/check-jsonschema --builtin-schema vendor.compose-spec \
        packaging/images/compose.yaml
    quiet .venv-images/bin/kubernetes-validate --strict --quiet packaging/kubernetes/*.yaml
}

# base NAME PACKAGES [OPTION]: a bare Debian with PACKAGES as localhost/NAME-base, made once for each list
base() {
    listed=$made/$1.list
    if [ "$(cat "$listed" 2> /dev/null)" = "$2" ] && podman image exists "localhost/$1-base:latest"; then
        return
    fi
    rm -f "$listed"
    mmdebstrap --quiet --variant=minbase --include="$2" ${3:+"$3"} bookworm "$made/$1.tar"
    podman import -q "$made/$1.tar" "localhost/$1-base:latest" > /dev/null
    rm "$made/$1.tar"
    printf '%s\n' "$2" > "$listed"
}

# image NAME FILE...: localhost/framegate-NAME from its Containerfile and the files beside it
image() {
    name=$1
    shift
    beside=$made/$name
    rm -rf "$beside"
    mkdir -p "$beside"
    cp "packaging/images/Containerfile.$name" "$beside/Containerfile"
    for file in "$@"; do
        # a package under a name without its version
        case $file in *.deb) cp "$file" "$beside/framegate-$name.deb" ;; *) cp "$file" "$beside/" ;; esac
    done
    # docker's format has health checks, OCI's has none
    buildah --runtime /usr/sbin/runc bud --quiet --format docker --pull-never --isolation oci \
        --network none --ulimit nofile=1024:1024 -t "localhost/framegate-$name:latest" "$beside" > /dev/null
    rm -rf "$beside"
    podman image inspect --format "localhost/framegate-$name: {{.Size}} bytes" "localhost/framegate-$name"
}

# What the servers' packages depend on of Debian's. No systemd: of it what makes users and folders.
needs() {
    for name in $servers; do
        dpkg-deb --field build/packages/framegate-"$name"_*.deb Depends | tr ',' '\n'
    done | sed 's/.*systemd-standalone-sysusers.*/systemd-standalone-sysusers/; s/[(|].*//; s/ //g' \
        | grep -v '^framegate-' | sort -u
    printf '%s\n' ca-certificates systemd-standalone-tmpfiles
}

build() {
    for program in mmdebstrap podman buildah runc; do
        command -v "$program" > /dev/null || { echo "$program is not installed" >&2; exit 7; }
    done
    mkdir -p "$made"
    base framegate "$(needs | paste -sd,)"
    base mosquitto mosquitto
    # its number is known before its package makes the user: secrets on the host are that number's
    base postgresql postgresql-15 --essential-hook='
        echo postgres:x:6478:6478::/var/lib/postgresql:/bin/sh >> "$1/etc/passwd"
        echo postgres:x:6478: >> "$1/etc/group"'
    for name in $servers; do
        image "$name" build/packages/framegate-"$name"_*.deb
    done
    image broker
    image database packaging/images/database.sh
}

"$1"
