# The gateways where something is not as it should be: nobody reads the log, a server takes its time
# to start, clients do nothing, the user has no patience. To be sourced after common.sh.

# code URL: the HTTP status of a GET
code() { curl -sS -m 10 -o /dev/null -w '%{http_code}' "$1"; }

# ends SIGNAL WHAT EXPECTED: sends it, and expects that exit code
ends() {
    kill "-$1" "$gateway"
    eventually gone "$gateway" || eventually gone "$gateway" || kill -KILL "$gateway"
    wait "$gateway"
    expect "$2" "$3" $?
    gateway=
}

check_unread_log() {
    local options=()
    [ "$1" = gateway_smol ] || options=(--log-level debug)
    log=/dev/full start "$1" "${options[@]}"
    expect 'a log that cannot be written: requests are answered' '200 200' \
        "$(post "$(tool echo)") $(code "$url/test")"
    ends TERM '... the gateway ends well' 0
}

# Standard error is a pipe that nobody reads, and soon full.
check_stuck_log() {
    local flood unread begun code
    flood="head -c 2000000 /dev/zero | tr '\0' x | fold -w 100 >&2 & exec $TARGET/$1 --stdio-server"
    mkfifo "$work/unread"
    exec {unread}<>"$work/unread"
    unready=true log=$work/unread start "$1" --max 2 --min-idle 2 --log-level debug -- sh -c "$flood"
    # Those that flood it take a moment.
    sleep 0.5
    expect 'a log that nobody reads: requests are answered' '200 200 200' \
        "$(post "$(tool echo)") $(code "$url/test") $(code "$url/healthz")"
    begun=$(date +%s%N)
    kill -TERM "$gateway"
    eventually gone "$gateway" || kill -KILL "$gateway"
    wait "$gateway"
    code=$?
    gateway=
    exec {unread}>&-
    expect '... the gateway ends well' 0 "$code"
    at_most '... ms after it was asked to' 4000 $((($(date +%s%N) - begun) / 1000000))
}

check_hangup() {
    start "$1"
    ends HUP 'SIGHUP: the gateway ends well' 0
    # The shell and the system each send one when a terminal is closed.
    start "$1" --max 1
    in_progress 1000
    kill -HUP "$gateway" && sleep 0.1 && kill -HUP "$gateway" && sleep 0.1
    ends HUP '... however often it comes' 0
    wait "$client"
    expect '... and the request in progress is answered' 200 "$(cat "$work/last")"
    start "$1" --max 1
    in_progress 10000
    kill -HUP "$gateway" && sleep 0.1
    ends TERM '... but SIGTERM after it hurries: exit code 1' 1
    wait "$client"
    start_by=nohup start "$1"
    kill -HUP "$gateway"
    sleep 0.2
    expect '... unless it is to outlive its terminal' 200 "$(code "$url/test")"
    ends TERM '... and SIGTERM still ends it' 0
}

# A server that neither answers what it is asked nor ends when its input does.
STUBBORN='read -r line; echo "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}"; sleep 60'

check_impatience() {
    local begun
    start "$1" --max 1 -- sh -c "$STUBBORN"
    begun=$(date +%s%N)
    kill -TERM "$gateway"
    sleep 0.3
    ends TERM 'a second signal while servers are told to end: exit code 1' 1
    at_most '... ms after the first' 1800 $((($(date +%s%N) - begun) / 1000000))
}

check_slow_start() {
    cat >"$work/gateway.toml" <<END
[servers.slow]
command = "sh"
args = ["-c", "sleep 2; exec $TARGET/$1 --stdio-server"]
[servers.good]
command = "$TARGET/$1"
args = ["--stdio-server"]
[servers.strange]
command = "sh"
args = ["-c", '''read -r line; echo '{"jsonrpc":"2.0","id":1,"result":{"protocolVersion":"2031-01-01"}}'; read -r line''']
END
    unready=true start "$1" --config "$work/gateway.toml"
    expect 'a server that starts slowly keeps no other from serving' 200 "$(at good)"
    curl -sS -m 10 "$url/healthz" >"$work/body"
    grep -q '"slow":"starting"' "$work/body" || bad "not starting: $(cat "$work/body")"
    expect '... is not yet healthy' 503 "$(code "$url/healthz/slow")"
    expect '... and answers when it can' 200 "$(at slow)"
    expect 'one of an unknown revision does not answer' 502 "$(at strange)"
    expect '... but keeps no other from doing so' 200 "$(at good)"
    ends TERM '... the gateway ends well' 0
}

# Sends the beginning of a request, and prints the status of the answer.
half_request() {
    python3 -c '
import socket, sys
gateway = socket.create_connection(("127.0.0.1", int(sys.argv[1])), 10)
gateway.sendall(b"POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{")
print(gateway.recv(12).decode()[9:])
' "${url##*:}"
}

check_clients() {
    local one two
    start "$1" --max-connections 2 --client-timeout 1s
    exec {one}<>"/dev/tcp/127.0.0.1/${url##*:}" {two}<>"/dev/tcp/127.0.0.1/${url##*:}"
    printf 'GET /livez HTTP/1.1\r\nHost: ' >&"$one"
    expect 'clients that do nothing have all connections: they lose them' 200 "$(code "$url/test")"
    exec {one}>&- {two}>&-
    expect 'half a request is not waited for' 408 "$(half_request)"
    ends TERM '... the gateway ends well' 0
}

# check_hardships NAME
check_hardships() {
    check_unread_log "$1"
    [ "$1" = gateway_smol ] || check_stuck_log "$1"
    check_hangup "$1"
    check_impatience "$1"
    check_slow_start "$1"
    check_clients "$1"
}
