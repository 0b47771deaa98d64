#!/bin/sh
# Install shaper from this checkout on Debian 13, as a service and without containers. Run it again to update.
#
#     sudo deploy/debian/install.sh
#
# It puts the program in /opt/shaper, a policy to edit in /etc/shaper unless there is one, and the unit in
# /etc/systemd/system, and makes the user shaper. It starts nothing and touches nothing else.
set -eu
cd "$(dirname "$0")/../.."

fail() { echo "install: $1" >&2; exit 1; }
[ "$(id -u)" = 0 ] || fail "writing to /opt and /etc needs root: run this with sudo"
command -v python3 >/dev/null || fail "python3 is not installed: apt-get install python3-venv"
found=$(python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])')
[ "$found" = 3.13 ] || fail "python3 is $found and shaper needs 3.13: use Debian 13, or a container"
python3 -c 'import ensurepip' 2>/dev/null || fail "venv is not installed: apt-get install python3-venv"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/build"
"$work/build/bin/pip" install -q --require-hashes --no-deps -r deploy/build.lock
"$work/build/bin/pip" wheel -q --no-deps --no-build-isolation --wheel-dir "$work" .

python3 -m venv --without-pip --clear /opt/shaper
pip() { "$work/build/bin/pip" --python /opt/shaper install -q --no-deps "$@"; }
pip --require-hashes --only-binary :all: -r deploy/run.lock
pip "$work"/shaper-*.whl

id shaper >/dev/null 2>&1 || useradd --system --home-dir /var/lib/shaper --shell /usr/sbin/nologin shaper
[ -e /etc/shaper/policy.yaml ] || install -D -m 0644 policies/example.yaml /etc/shaper/policy.yaml
install -D -m 0644 deploy/systemd/shaper.service /etc/systemd/system/shaper.service
/opt/shaper/bin/shaper check /etc/shaper/policy.yaml
echo "Edit /etc/shaper/policy.yaml, then: systemctl daemon-reload && systemctl enable --now shaper"
