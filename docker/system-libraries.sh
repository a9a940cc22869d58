#!/bin/sh
# The system libraries that rendering needs. Says what is missing; installs it when it may (root on Debian or Ubuntu).
# Which ones depends on MUJOCO_GL; what it is when nobody sets it is decided in rollouts/worlds/base.py, as here.
set -eu

[ "$(uname -s)" = Linux ] || exit 0

PATH="$PATH:/usr/sbin:/sbin"  # where ldconfig is, which people who are not root do not have in their PATH

has() { ldconfig -p 2>/dev/null | grep -q "$1"; }

case "$(printf %s "${MUJOCO_GL:-}" | tr '[:upper:]' '[:lower:]')" in
    "") if [ -n "${DISPLAY:-}" ]; then exit 0; fi; wanted=osmesa ;;
    osmesa) wanted=osmesa ;;
    egl) wanted=egl ;;
    *) exit 0 ;;
esac

if [ "$wanted" = osmesa ]; then
    packages="libosmesa6"
    has 'libOSMesa\.so' && exit 0
else
    # The loader, and a driver: NVIDIA's own, or Mesa's, which draws in software where there is no card.
    packages="libegl1 libgl1-mesa-dri"
    if has 'libEGL\.so\.1'; then
        has 'libEGL_nvidia\.so' && exit 0
        if has 'libEGL_mesa\.so'; then
            has 'libgallium' && exit 0
            [ -e "/usr/lib/$(uname -m)-linux-gnu/dri/swrast_dri.so" ] && exit 0
        fi
    fi
fi

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "Installing the libraries that MuJoCo renders with: $packages"
    export DEBIAN_FRONTEND=noninteractive
    # shellcheck disable=SC2086
    apt-get update -qq && apt-get install -qq --yes --no-install-recommends $packages >/dev/null
    exit 0
fi
echo "MuJoCo cannot render without these system libraries; install them with: sudo apt-get install $packages" >&2
[ "${1:-}" = "--strict" ] && exit 1 || exit 0
