#!/bin/sh
# Build the image on a base made from Debian's own archive, and run it; bring up what compose.yaml says with it and
# Debian's Prometheus; install the service on that base without an image. For machines that reach no registry of images.
#
#     make image-test            needs root, podman, podman-compose 1.4 or later, runc and debootstrap
#
# What pip and the system are told about mirrors and certificates here holds in the build too.
set -eu
cd "$(dirname "$0")/../.."
base=localhost/debian:trixie-slim image=localhost/shaper:test prometheus=localhost/prometheus:test

fail() { echo "image-test: $1" >&2; exit 1; }
[ "$(id -u)" = 0 ] || fail "debootstrap needs root: run this with sudo"
for program in podman runc debootstrap; do
    command -v $program >/dev/null || fail "$program is not installed: apt-get install $program"
done

if ! podman image exists $base; then
    root=$(mktemp -d)
    trap 'rm -rf "$root"' EXIT
    # shellcheck disable=SC2016
    mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | grep '/debian/*$' | head -1)
    debootstrap --variant=minbase trixie "$root" ${mirror:+"$mirror"} >"$root.log" 2>&1 || fail "no base: see $root.log"
    rm -rf "$root.log" "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/* \
        "$root"/usr/share/doc/* "$root"/usr/share/man/* "$root"/usr/share/locale/* "$root"/usr/share/info/*
    tar -C "$root" -c . | podman import -q - $base >/dev/null
fi

set --
[ ! -e /etc/pip.conf ] || set -- "$@" --volume /etc/pip.conf:/etc/pip.conf:ro
authorities=/usr/local/share/ca-certificates
[ -z "$(ls $authorities 2>/dev/null)" ] || set -- "$@" --volume $authorities:$authorities:ro
set -- --isolation chroot --network host --ulimit nofile=1024:1024 "$@"
make image IMAGE=$image BUILD_OPTIONS="--build-arg BASE=$base $*"

# Where the makers' image has its parts; busybox has the wget of the health check.
podman build "$@" --format docker --tag $prometheus - <<END
FROM $base
RUN apt-get update && apt-get install --yes --no-install-recommends prometheus busybox \
    && ln -s /usr/bin/busybox /usr/local/bin/wget && install --directory --mode 0777 /prometheus
ENTRYPOINT ["/usr/bin/prometheus"]
END

SHAPER_IMAGE=$image SHAPER_PROMETHEUS=$prometheus SHAPER_BASE=$base .venv/bin/pytest -n 0 \
    tests/deploy/test_image.py tests/deploy/test_compose_up.py tests/deploy/test_systemd.py
