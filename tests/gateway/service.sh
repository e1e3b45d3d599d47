# The gateways as a service: several servers from a file, and what a service manager does. To be
# sourced after common.sh.

# What a service manager is told, each message a line of $work/told. Sets NOTIFY_SOCKET.
listen_to_notifications() {
    export NOTIFY_SOCKET=$work/notify
    python3 -c '
import socket, sys
told = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
told.bind(sys.argv[1])
told.settimeout(60)
while True:
    print(told.recv(4096).decode(), end="", flush=True)
' "$NOTIFY_SOCKET" >"$work/told" 2>/dev/null &
    listener=$!
    eventually test -S "$NOTIFY_SOCKET" || bad 'nobody listens to notifications'
}

# in_progress MILLISECONDS: begins a request that takes so long; its status will be in $work/last
in_progress() {
    printf '%s' "$(tool late "$1")" |
        curl -sS -m 20 -o /dev/null -w '%{http_code}' --data-binary @- "$url/mcp" \
            >"$work/last" 2>"$work/last_err" &
    client=$!
    busy() { [ "$(field in_use)" = 1 ]; }
    eventually busy || bad 'the request is not in progress'
}

# As a service manager does it: told when it is ready, asked to end by SIGTERM.
check_service() {
    local client code pids begun
    listen_to_notifications
    start gateway --max 2 --admin 127.0.0.1:0 --shutdown-delay 1s --log-format json
    admin=$(sed -n 's/^administration on //p' "$work/out")
    if eventually grep -qx 'READY=1' "$work/told"; then ok 'READY=1'; else bad 'no READY=1'; fi
    expect 'it is healthy' 200 "$(health "$url")"
    in_progress 2000
    kill -TERM "$gateway"
    unhealthy() { [ "$(health "$url")" = 503 ]; }
    if eventually unhealthy; then ok 'SIGTERM: it is not any more'; else bad 'still healthy'; fi
    expect '... but serves as yet' 200 "$(curl -sS -m 10 -o /dev/null -w '%{http_code}' "$url/test")"
    if eventually grep -qx 'STOPPING=1' "$work/told"; then ok 'STOPPING=1'; else bad 'no STOPPING=1'; fi
    refusing() { ! curl -sS -m 10 -o /dev/null "$url/livez" 2>/dev/null; }
    if eventually refusing; then ok '... then nobody is let in'; else bad 'still accepting'; fi
    expect '... except the operator' 503 "$(health "$admin")"
    wait "$client"
    expect '... and the request in progress is answered' 200 "$(cat "$work/last")"
    wait "$gateway"
    code=$?
    expect '... the gateway ends well' 0 "$code"
    gateway=
    kill "$listener" && wait "$listener" 2>/dev/null
    unset NOTIFY_SOCKET
    expect 'every line of the log is an object with these' 0 "$(grep -vc \
        '^{"timestamp":".*"level":"[A-Z]*",.*"target":.*}$' "$work/err")"
    grep -q '"message":"serving"' "$work/err" || bad "not in the log: $(cat "$work/err")"

    start gateway --max 2 --shutdown-timeout 300ms
    in_progress 1500
    kill -TERM "$gateway"
    wait "$client"
    expect 'one that takes longer than --shutdown-timeout is told so' 503 "$(cat "$work/last")"
    wait "$gateway"
    code=$?
    expect '... the gateway ends well' 0 "$code"

    start gateway --max 2
    pids=$(real_children)
    in_progress 10000
    begun=$(date +%s%N)
    kill -TERM "$gateway" && sleep 0.1 && kill -TERM "$gateway"
    wait "$gateway"
    code=$?
    expect 'a second signal: exit code 1' 1 "$code"
    at_most '... ms later' 1000 $((($(date +%s%N) - begun) / 1000000))
    gateway=
    wait "$client"
    for pid in $pids; do
        eventually gone "$pid" || bad "server $pid is left behind"
    done
    ok "... none of its $(echo "$pids" | wc -w) servers is left"
}

# Two servers in a file.
check_config() {
    cat >"$work/gateway.toml" <<END
[pool]
max = 2
[servers.one]
command = "$TARGET/$1"
args = ["--stdio-server"]
[servers.two]
command = "$TARGET/$1"
args = ["--stdio-server"]
max = 3
END
    "$TARGET/$1" --config "$work/gateway.toml" --listen 127.0.0.1:0 >"$work/out" 2>"$work/err"
    expect 'a file with a key that there is not: exit code 1' 1 $?
    grep -q 'line 9' "$work/err" && grep -q '`max`' "$work/err" || bad "unclear: $(cat "$work/err")"
    sed -i '/^max = 3/d' "$work/gateway.toml"
    start "$1" --config "$work/gateway.toml"
    expect 'one server of a file answers' 200 "$(at one)"
    expect '... and the other' 200 "$(at two)"
    expect '... and no third' 404 "$(at three)"
    kill -TERM "$gateway"
    wait "$gateway"
    expect '... the gateway ends well' 0 $?
    gateway=
}

# at SERVER: the HTTP status of a request to it
at() {
    curl -sS -m 10 -o "$work/body" -w '%{http_code}' --data-binary "$(tool echo)" "$url/mcp/$1"
}
