#!/usr/bin/env bash
# Clone this checkout into an empty folder and run `make demo` there with an empty environment, as an
# ordinary user where we are root, and as root where we are not. Ends the server that the demo leaves.
set -euo pipefail
source=$(git rev-parse --show-toplevel)
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
if [ "$(id -u)" = 0 ]; then
    # Nobody in particular: no account, no home but the folder, no rights.
    uid=54321
    as_other=(setpriv "--reuid=$uid" "--regid=$uid" --clear-groups --)
    # A Python that this user can reach; root's own may lie in root's home.
    python=$(PATH=/usr/local/bin:/usr/bin:/bin command -v python3)
elif sudo -n true 2>/dev/null; then
    as_other=(sudo -n --)
    python=$(command -v python3)
else
    echo "NOT REPEATED AS ROOT: this user is not root and may not become it by sudo." >&2
    exit 0
fi

folder=$(mktemp -d)
git -c advice.detachedHead=false clone --quiet --no-hardlinks "$source" "$folder/handrail"
if [ "$(id -u)" = 0 ]; then chown -R "$uid:$uid" "$folder"; fi

server_pids() { # the server that listens on our port, and nobody else's
    pgrep -f -- "manage.py serve --host 127.0.0.1 --port $port" || true
}
finish() {
    for pid in $(server_pids); do "${as_other[@]}" kill "$pid" || true; done
    for _ in $(seq 50); do [ -z "$(server_pids)" ] && break; sleep 0.2; done
    "${as_other[@]}" rm -rf "$folder" || rm -rf "$folder"
}
trap finish EXIT

cd "$folder/handrail"
"${as_other[@]}" env -i "PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin" "HOME=$folder" \
    make demo "PORT=$port" "PYTHON=$python"
