#!/usr/bin/env bash
# The gateway in front of real servers of the Model Context Protocol: one from PyPI, one from npm,
# each with a pool of its own, and then both under one limit. They are installed into a temporary
# folder, used by many clients at once, and killed meanwhile. Prints what it checks; exits with 1 if
# anything is wrong. Wants python3 with pip, node with npm, and a way to their registries; without,
# it is skipped, unless WATERTIGHT_SERVICES=required.
#
#   tests/gateway_mcp.sh
set -u
cd "$(dirname "$0")/.."
. tests/gateway/common.sh

PYPI=mcp-server-time==2026.10.19
NPM=@modelcontextprotocol/server-everything@2026.8.31

install_servers() {
    local tool
    for tool in python3 node npm; do
        command -v "$tool" >/dev/null || cannot "there is no $tool"
    done
    python3 -m pip install --quiet --disable-pip-version-check --root-user-action ignore \
        --target "$work/pypi" "$PYPI" >"$work/pip" 2>&1 ||
        cannot "pip cannot install $PYPI: $(tail -n 1 "$work/pip")"
    npm install --loglevel error --no-audit --no-fund --prefix "$work/npm" "$NPM" >"$work/npm.log" 2>&1 ||
        cannot "npm cannot install $NPM: $(head -n 1 "$work/npm.log")"
}

# configure LIMIT: writes the file, which begins with that
configure() {
    cat >"$work/gateway.toml" <<END
$1
request_timeout = "20s"

[pool]
max = 3
connect_timeout = "30s"
acquire_timeout = "60s"

[servers.time]
command = "python3"
args = ["-m", "mcp_server_time", "--local-timezone", "UTC"]
env = { PYTHONPATH = "$work/pypi" }

[servers.everything]
command = "node"
args = ["$work/npm/node_modules/@modelcontextprotocol/server-everything/dist/index.js", "stdio"]
END
}

# check LIMIT: starts the gateway with that and has the clients come
check() {
    local pids pid
    configure "$1"
    start gateway --config "$work/gateway.toml"
    PYTHONPATH=$work/pypi python3 tests/gateway/mcp_clients.py "$url" || failures=$((failures + 1))
    said() { grep "server=\"everything\" pid=" "$work/err" | grep -c 'Starting'; }
    expect 'what a server says is in the log' true "$([ "$(said)" -gt 0 ] && echo true)"
    pids=$(real_children)
    kill -TERM "$gateway"
    wait "$gateway"
    expect 'SIGTERM: the gateway ends well' 0 $?
    gateway=
    for pid in $pids; do
        eventually gone "$pid" || bad "server $pid is left behind"
    done
    ok "... none of its $(echo "$pids" | wc -w) servers is left"
}

build gateway
SECONDS=0
install_servers
echo "installed after $SECONDS s"
echo 'each server with a pool of its own'
check ''
echo 'both under one limit'
check 'max_processes = 4'
verdict
