#!/bin/sh
# ensure_package.sh PACKAGE COMMAND WHY: install a package of the system where we may; elsewhere say how.
set -eu
package=$1 command=$2 why=$3
command -v "$command" >/dev/null 2>&1 && exit 0
install="apt-get install -y -qq --no-install-recommends $package"
if command -v apt-get >/dev/null 2>&1; then
    as_root=""
    [ "$(id -u)" = 0 ] || as_root="sudo -n"
    echo "Installing $package …"
    if { $as_root apt-get update -qq && $as_root env DEBIAN_FRONTEND=noninteractive $install; } >/dev/null 2>&1 &&
        command -v "$command" >/dev/null 2>&1; then
        exit 0
    fi
fi
cat >&2 <<MESSAGE
$why and needs $package (the command $command) for it.
It could not be installed by itself. Install it, then run this again:
  Debian   sudo apt-get install $package
  Fedora   sudo dnf install $package
  Arch     sudo pacman -S $package
  Alpine   sudo apk add $package
MESSAGE
exit 1
