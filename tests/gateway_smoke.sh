#!/usr/bin/env bash
# Smoke test of the gateways through curl: 10,000 requests from 64 clients at a time, bad input,
# a server killed under load, the pool exhausted, paused and reset, Ctrl-C, several servers from a
# file, the life of a service, and hardships. Prints what it checks; exits with 1 if anything is wrong. Wants curl,
# ps and python3.
#
#   tests/gateway_smoke.sh            # builds both gateways first
#   REQUESTS=2000 tests/gateway_smoke.sh
set -u
cd "$(dirname "$0")/.."

REQUESTS=${REQUESTS:-10000}
CLIENTS=64
MAX=6

. tests/gateway/common.sh
. tests/gateway/service.sh
. tests/gateway/hardships.sh

# load REQUESTS: that many GET /test from all clients; each line of $work/load is "body status"
load() {
    local each=$((($1 + CLIENTS - 1) / CLIENTS))
    rm -rf "$work/clients" && mkdir "$work/clients"
    for _ in $(seq "$each"); do
        printf 'url = "%s/test"\n' "$url"
    done >"$work/urls"
    seq "$CLIENTS" | xargs -P "$CLIENTS" -I{} sh -c \
        "curl -sS -m 60 -w ' %{http_code}\n' --config '$work/urls' >'$work/clients/{}' 2>&1"
    cat "$work"/clients/* | tr -d '\n' | sed 's/ \([0-9]\{3\}\)/ \1\n/g' >"$work/load"
}

requests_sent() { echo $((($1 + CLIENTS - 1) / CLIENTS * CLIENTS)); }
pids_seen() { grep -o '"pid":[0-9]*' "$work/load" | sort -u; }

# Records the largest number of children at any time, until $work/watch is removed.
watch_children() {
    local most=0 now
    while [ -e "$work/watch" ]; do
        now=$(real_children | wc -l)
        [ "$now" -gt "$most" ] && most=$now && echo "$most" >"$work/most"
        sleep 0.05
    done
}

check_load() {
    local sent start seconds
    sent=$(requests_sent "$1")
    touch "$work/watch" && echo 0 >"$work/most"
    watch_children &
    start=$(date +%s%N)
    load "$1"
    seconds=$((($(date +%s%N) - start) / 1000000))
    rm "$work/watch" && wait $!
    expect "$sent requests from $CLIENTS clients, all answered" "$sent" \
        "$(grep -c '^{"pid":[0-9]*,"result":.* 200$' "$work/load")"
    expect "as many servers as max_size have answered" "$MAX" "$(pids_seen | wc -l)"
    expect "never more than max_size processes" "$MAX" "$(cat "$work/most")"
    expect "as many are alive" "$MAX" "$(children | wc -w)"
    echo "        ${seconds} ms, $((sent * 1000 / seconds)) requests/s (curl included)"
}

# refused WHAT STATUS CODE BODY [CURL OPTIONS...]: answered with that, and seen by no server
refused() {
    local what=$1 status=$2 code=$3 body=$4 before
    shift 4
    before=$(field acquires)
    expect "$what is answered with $status" "$status" "$(post "$body" "$@")"
    grep -q "\"code\":$code," "$work/body" || bad "$what: no $code in $(head -c 200 "$work/body")"
    expect "... and reaches no server" "$before" "$(field acquires)"
}

check_bad_input() {
    refused 'malformed JSON' 400 -32700 '{"jsonrpc":'
    refused 'an empty body' 400 -32700 ''
    refused 'JSON that is no request' 400 -32600 '{"hello":1}'
    refused 'a batch' 400 -32600 '[{"jsonrpc":"2.0","id":1,"method":"ping"}]' \
        -H 'MCP-Protocol-Version: 2025-06-18'
    refused 'a revision that nobody speaks' 400 -32600 "$(tool echo)" \
        -H 'MCP-Protocol-Version: 2031-01-01'
    refused 'a session that there is not' 404 -32001 "$(tool echo)" -H 'Mcp-Session-Id: made-up'
    refused 'a client that wants a stream' 406 -32600 "$(tool echo)" -H 'Accept: text/event-stream'
    refused 'a name that resolves to here' 403 -32600 "$(tool echo)" -H 'Host: rebound.example.com'
    refused 'a page from elsewhere' 403 -32600 "$(tool echo)" -H 'Origin: http://example.com'
    expect 'a picture in a page from elsewhere is answered with 403' 403 "$(curl -sS -m 10 \
        -o /dev/null -w '%{http_code}' -H 'Sec-Fetch-Site: cross-site' "$url/test")"
    head -c 1048577 /dev/zero | tr '\0' ' ' >"$work/large"
    expect 'a body over 1 MiB is answered with 413' 413 "$(curl -sS -m 20 -o /dev/null \
        -w '%{http_code}' -H 'Content-Type: application/json' --data-binary "@$work/large" "$url/mcp")"
    expect 'a notification is answered with 202' 202 \
        "$(post '{"jsonrpc":"2.0","method":"notifications/initialized"}')"
}

check_good_input() {
    expect 'a request is answered' 200 "$(post "$(tool echo)")"
    grep -q '"id":"my id"' "$work/body" || bad "the id is lost: $(cat "$work/body")"
    grep -q '"text":"hello"' "$work/body" || bad "no echo: $(cat "$work/body")"
    expect 'initialize is answered' 200 "$(post \
        '{"jsonrpc":"2.0","id":1,"method":"initialize","params":{}}' -D "$work/headers")"
    session=$(sed -n 's/^mcp-session-id: \([!-~]*\).*/\1/Ip' "$work/headers")
    expect '... with a session, that is accepted' 200 \
        "$(post "$(tool echo)" -H "Mcp-Session-Id: $session")"
    expect '... and ended' 204 "$(curl -sS -m 10 -o /dev/null -w '%{http_code}' \
        -X DELETE -H "Mcp-Session-Id: $session" "$url/mcp")"
    expect '... and is no more' 404 "$(post "$(tool echo)" -H "Mcp-Session-Id: $session")"
    expect 'GET /mcp is answered with 405' 405 "$(curl -sS -m 10 -o /dev/null -D "$work/headers" \
        -w '%{http_code}' "$url/mcp")"
    grep -qi '^allow: POST,DELETE' "$work/headers" || bad 'no Allow'
    expect 'a server that talks meanwhile does no harm' 200 "$(post "$(tool chat)")"
    expect "the server's own error passes through" 200 "$(post "$(tool nonsense)")"
    grep -q '"code":-32602' "$work/body" || bad "no error: $(cat "$work/body")"
}

# costs_one WHAT STATUS TOOL: the request gets that status, and exactly one server is lost
costs_one() {
    local before
    before=$(field discarded)
    expect "a server that $1 costs a $2" "$2" "$(post "$(tool "$3")")"
    grep -q '"message":"' "$work/body" || bad "no reason: $(cat "$work/body")"
    expect '... and itself, nothing else' "$((before + 1))" "$(field discarded)"
    expect '... the next request is answered' 200 "$(post "$(tool echo)")"
}

check_faults() {
    costs_one 'ends' 502 exit
    costs_one 'prints garbage' 502 garbage
    costs_one 'ends half-way' 502 half
    costs_one 'prints without end' 502 flood
    costs_one 'hangs' 504 hang
    local before
    before=$(field broken)
    printf '%s' "$(tool late 400)" | curl -s -m 0.1 -o /dev/null --data-binary @- "$url/mcp"
    lost() { [ "$(field broken)" -eq "$((before + 1))" ]; }
    if eventually lost; then ok 'a client that leaves costs that server'; else bad 'a client that left'; fi
    for _ in $(seq 20); do post "$(tool echo)" >>"$work/after"; done
    expect '... and nobody gets its answer' "$(printf '200%.0s' $(seq 20))" "$(cat "$work/after")"
    rm "$work/after"
}

living() { ps -o pid=,stat= --ppid "$gateway" | grep -cv ' Z'; }

check_kill_under_load() {
    local sent lost loading killed=0
    sent=$(requests_sent "$1")
    load "$1" &
    loading=$!
    for _ in 1 2 3; do
        sleep 0.1
        gone "$loading" || { kill -KILL "$(children | cut -d' ' -f1)" && killed=$((killed + 1)); }
    done
    wait "$loading"
    lost=$(grep -vc ' 200$' "$work/load")
    expect "$killed servers killed under load: every request got an answer" "$sent" \
        "$(grep -c ' [25]0[0-9]$' "$work/load")"
    # Should the last have been idle when it was killed, this finds it.
    load "$((CLIENTS * 10))"
    lost=$((lost + $(grep -vc ' 200$' "$work/load")))
    at_most '... requests that it cost' "$killed" "$lost"
    expect '... all are replaced' "$MAX" "$(living)"
}

check_end() {
    local pids code
    pids=$(real_children)
    printf '%s' "$(tool late 500)" |
        curl -sS -m 20 -o /dev/null -w '%{http_code}' --data-binary @- "$url/mcp" >"$work/last" &
    local client=$!
    sleep 0.2
    kill "-$1" "$gateway"
    wait "$client"
    expect "SIG$1: the request in progress is answered" 200 "$(cat "$work/last")"
    wait "$gateway"
    code=$?
    expect '... the gateway ends well' 0 "$code"
    gateway=
    for pid in $pids; do
        eventually gone "$pid" || bad "server $pid is left behind"
    done
    ok "... none of its $(echo "$pids" | wc -w) servers is left"
}

check_exhausted() {
    start "$1" --max 1 --acquire-timeout 200ms
    printf '%s' "$(tool late 1500)" | curl -s -o /dev/null --data-binary @- "$url/mcp" &
    local client=$!
    sleep 0.2
    expect 'an exhausted pool is answered with 503' 503 \
        "$(post "$(tool echo)" -D "$work/headers")"
    grep -qi '^retry-after: [0-9]' "$work/headers" || bad 'no Retry-After'
    wait "$client"
    check_end TERM
}

check_missing() {
    local code
    "$TARGET/$1" --listen 127.0.0.1:0 -- ./no-such-server >"$work/out" 2>"$work/err"
    code=$?
    expect 'a server that does not exist: exit code 1' 1 "$code"
    grep -q 'could not start "./no-such-server"' "$work/err" || bad "unclear: $(cat "$work/err")"
}

# operate ACTION [CURL OPTIONS...]: prints the HTTP status; the answer is in $work/body
operate() {
    local action=$1
    shift
    curl -sS -m 20 -o "$work/body" -w '%{http_code}' -X POST "$@" "$admin/admin/$action"
}

check_admin() {
    local code client waiting old
    "$TARGET/$1" --listen 127.0.0.1:0 --admin 0.0.0.0:0 >"$work/out" 2>"$work/err"
    code=$?
    expect 'an administration that others can reach: exit code 2' 2 "$code"
    start "$1" --max 2 --admin 127.0.0.1:0
    admin=$(sed -n 's/^administration on //p' "$work/out")
    expect 'clients cannot operate' 404 \
        "$(curl -sS -m 10 -o /dev/null -w '%{http_code}' -X POST "$url/admin/pause")"
    expect 'nor can a page from elsewhere' 403 "$(operate pause -H 'Origin: http://example.com')"

    printf '%s' "$(tool late 700)" |
        curl -sS -m 20 -o /dev/null -w '%{http_code}' --data-binary @- "$url/mcp" >"$work/last" &
    client=$!
    busy() { [ "$(field in_use)" -eq 1 ]; }
    eventually busy || bad 'the request is not in progress'
    expect 'pause' 200 "$(operate pause)"
    expect '... waits for the request in progress' 1 "$(grep -c '"in_use":0.*"paused":true' "$work/body")"
    wait "$client"
    expect '... which is answered' 200 "$(cat "$work/last")"
    curl -sS -m 10 -o /dev/null -w '%{http_code}' "$url/test" >"$work/last" &
    waiting=$!
    queued() { [ "$(field waiting)" -eq 1 ]; }
    if eventually queued; then ok '... those who come wait'; else bad 'nobody waits'; fi
    expect 'resume' 200 "$(operate resume)"
    wait "$waiting"
    expect '... they are answered' 200 "$(cat "$work/last")"

    old=$(real_children)
    expect 'reset' 200 "$(operate reset)"
    for pid in $old; do
        eventually gone "$pid" || bad "server $pid is left after the reset"
    done
    ok "... ends the $(echo "$old" | wc -w) servers that there were"
    expect '... the next request is answered' 200 "$(post "$(tool echo)")"
    check_end TERM
}

# metric NAME [LABEL]: the value of that series
metric() { curl -sS -m 10 "$url/metrics" | grep "^$1{" | grep -e "${2:-}" | sed 's/.* //'; }

check_metrics() {
    expect 'GET /metrics counts every use' "$(field acquires)" \
        "$(metric db_client_connection_use_time_count)"
    expect '... and every wait' "$(field acquires)" "$(metric db_client_connection_wait_time_count)"
    expect '... and none is in use now' 0 "$(metric db_client_connection_count 'state="used"')"
    expect '... and all the others are idle' "$MAX" \
        "$(metric db_client_connection_count 'state="idle"')"
    expect '... and the servers that were lost' "$(field discarded)" \
        "$(metric watertight_connection_closes 'reason="discarded"')"
    expect 'the page has its charts' 200 \
        "$(curl -sS -m 10 -o /dev/null -w '%{http_code}' "$url/charts.js")"
}

# smoke NAME REQUESTS
smoke() {
    echo "$1"
    check_missing "$1"
    start "$1" --max "$MAX" --request-timeout 1s
    expect 'GET /test answers' 200 "$(curl -sS -m 10 -o /dev/null -w '%{http_code}' "$url/test")"
    check_load "$2"
    check_bad_input
    check_good_input
    check_faults
    check_kill_under_load "$2"
    [ "$1" = gateway_smol ] || check_metrics
    check_end INT
    check_exhausted "$1"
    check_admin "$1"
    check_config "$1"
    [ "$1" = gateway_smol ] || check_service
    check_hardships "$1"
}

build gateway gateway_smol
SECONDS=0
smoke gateway "$REQUESTS"
smoke gateway_smol "$((REQUESTS / 5))"
verdict
