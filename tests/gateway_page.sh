#!/usr/bin/env bash
# The gateway's page in a headless Chromium: it loads, shows what is going on while it goes on, and
# nothing is reported on the console. Prints what it checks; exits with 1 if anything is wrong. Wants
# chromium, node, and npm with a way to its registry; without, it is skipped, unless
# WATERTIGHT_SERVICES=required.
#
#   tests/gateway_page.sh
#   SHOW=/tmp/page tests/gateway_page.sh    # and keeps pictures of it there
set -u
cd "$(dirname "$0")/.."
. tests/gateway/common.sh

NPM=puppeteer-core@24

for browser in chromium chromium-browser google-chrome ''; do
    [ -n "$browser" ] || cannot 'there is no chromium'
    browser=$(command -v "$browser") && break
done
for tool in node npm; do
    command -v "$tool" >/dev/null || cannot "there is no $tool"
done
npm install --loglevel error --no-audit --no-fund --prefix "$work/npm" "$NPM" >"$work/npm.log" 2>&1 ||
    cannot "npm cannot install $NPM: $(head -n 1 "$work/npm.log")"

# look OPTIONS...: starts a gateway and looks at its page
look() {
    start gateway --max 4 "$@"
    cp tests/gateway/page.mjs "$work/npm/"
    timeout 120 node "$work/npm/page.mjs" "$browser" "$url" "$gateway" "${SHOW:-}" || {
        failures=$((failures + 1))
        # It may not have come to that.
        kill "$gateway"
    }
    wait "$gateway"
    gateway=
}

build gateway
SECONDS=0
echo 'one server'
look
echo 'two servers'
cat >"$work/gateway.toml" <<END
[servers.one]
command = "$TARGET/gateway"
args = ["--stdio-server"]
[servers.two]
command = "$TARGET/gateway"
args = ["--stdio-server"]
pool.max = 2
END
look --config "$work/gateway.toml"
verdict
