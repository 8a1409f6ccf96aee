#!/bin/sh
# The console's tests walk it in Chromium. Install it where we may; elsewhere say how.
set -eu
command -v chromium >/dev/null 2>&1 && exit 0
install="apt-get install -y -qq --no-install-recommends chromium"
if command -v apt-get >/dev/null 2>&1; then
    as_root=""
    [ "$(id -u)" = 0 ] || as_root="sudo -n"
    echo "Installing Chromium for the tests …"
    if { $as_root apt-get update -qq && $as_root env DEBIAN_FRONTEND=noninteractive $install; } >/dev/null 2>&1 &&
        command -v chromium >/dev/null 2>&1; then
        exit 0
    fi
fi
cat >&2 <<'EOF'
The tests of the operators' console need Chromium (the command chromium).
It could not be installed by itself. Install it, then run this again:
  Debian    sudo apt-get install chromium
  Fedora    sudo dnf install chromium
  Arch      sudo pacman -S chromium
  Alpine    sudo apk add chromium
EOF
exit 1
