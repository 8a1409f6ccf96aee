#!/bin/sh
# The sandbox needs bubblewrap. Install it where we may; elsewhere say how.
set -eu
command -v bwrap >/dev/null 2>&1 && exit 0
install="apt-get install -y -qq --no-install-recommends bubblewrap"
if command -v apt-get >/dev/null 2>&1; then
    as_root=""
    [ "$(id -u)" = 0 ] || as_root="sudo -n"
    echo "Installing bubblewrap …"
    if { $as_root apt-get update -qq && $as_root env DEBIAN_FRONTEND=noninteractive $install; } >/dev/null 2>&1 &&
        command -v bwrap >/dev/null 2>&1; then
        exit 0
    fi
fi
cat >&2 <<'EOF'
Handrail runs an agent's commands in a sandbox and needs bubblewrap (the command bwrap) for it.
It could not be installed by itself. Install it, then run this again:
  Debian, Ubuntu   sudo apt-get install bubblewrap
  Fedora           sudo dnf install bubblewrap
  Arch             sudo pacman -S bubblewrap
  Alpine           sudo apk add bubblewrap
EOF
exit 1
