#!/bin/sh
# The system libraries that rendering needs. Says what is missing; installs it when it may (root on Debian or Ubuntu).
set -eu

PACKAGES="libegl1 libgl1-mesa-dri libosmesa6"

missing=""
ldconfig -p 2>/dev/null | grep -q 'libEGL\.so\.1' || missing="libegl1"
[ -e /usr/lib/"$(uname -m)"-linux-gnu/dri/swrast_dri.so ] || ldconfig -p 2>/dev/null | grep -q 'libgallium\|libEGL_nvidia' || missing="$missing libgl1-mesa-dri"
[ -z "$missing" ] && exit 0
[ "$(uname -s)" = Linux ] || exit 0

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "Installing the libraries that MuJoCo renders with: $PACKAGES"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq && apt-get install -qq --yes --no-install-recommends $PACKAGES >/dev/null
    exit 0
fi
echo "MuJoCo cannot render without these system libraries; install them with: sudo apt-get install $PACKAGES" >&2
[ "${1:-}" = "--strict" ] && exit 1 || exit 0
