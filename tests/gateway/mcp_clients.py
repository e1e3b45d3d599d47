"""Clients for tests/gateway_mcp.sh: many at once for the servers `time` and `everything`, some of
whose processes are killed meanwhile, and the one that the protocol's own library has.

    python3 tests/gateway/mcp_clients.py http://127.0.0.1:8080
"""

import asyncio
import http.client
import json
import os
import random
import signal
import sys
import threading
import time
import urllib.parse

CLIENTS = 8  # for each server
KILLS = 4  # of each server's processes
SECONDS = 4

address = urllib.parse.urlsplit(sys.argv[1]).netloc
failures = 0


def expect(what, expected, actual):
    global failures
    if expected == actual:
        print(f"  ok    {what}")
    else:
        failures += 1
        print(f"  FAIL  {what}: expected {expected!r}, got {actual!r}")


def get(path):
    connection = http.client.HTTPConnection(address, timeout=30)
    connection.request("GET", path)
    return json.load(connection.getresponse())


class Client:
    """One session with one server, over a connection that is kept."""

    def __init__(self, server):
        self.path = f"/mcp/{server}"
        self.connection = http.client.HTTPConnection(address, timeout=90)
        self.headers = {
            "Content-Type": "application/json",
            "Accept": "application/json, text/event-stream",
        }

    def send(self, message, method="POST"):
        """The status, the headers and the answer."""
        body = None if message is None else json.dumps({"jsonrpc": "2.0", **message})
        self.connection.request(method, self.path, body, self.headers)
        response = self.connection.getresponse()
        text = response.read()
        return response.status, response.headers, json.loads(text) if text else None

    def ask(self, id, method, **params):
        status, _, answer = self.send({"id": id, "method": method, "params": params})
        return status, answer

    def begin(self):
        """Initialises the session."""
        client = {"name": "test", "version": "1"}
        status, headers, answer = self.send(
            {
                "id": "first",
                "method": "initialize",
                "params": {
                    "protocolVersion": "2025-06-18",
                    "capabilities": {},
                    "clientInfo": client,
                },
            }
        )
        assert status == 200 and answer["id"] == "first", (status, answer)
        self.headers["Mcp-Session-Id"] = headers["Mcp-Session-Id"]
        self.headers["MCP-Protocol-Version"] = answer["result"]["protocolVersion"]
        status, _, answer = self.send({"method": "notifications/initialized"})
        assert (status, answer) == (202, None), (status, answer)


def call_time(client, id, n):
    """Asks what time it is in Tokyo at a certain minute; true if the answer is right."""
    hour, minute = divmod(n % 1440, 60)
    arguments = {
        "source_timezone": "UTC",
        "time": f"{hour:02}:{minute:02}",
        "target_timezone": "Asia/Tokyo",
    }
    status, answer = client.ask(id, "tools/call", name="convert_time", arguments=arguments)
    if status != 200:
        return status, False
    there = json.loads(answer["result"]["content"][0]["text"])["target"]["datetime"]
    return status, answer["id"] == id and f"T{(hour + 9) % 24:02}:{minute:02}:00+09:00" in there


def call_everything(client, id, n):
    """Has a message echoed that nobody else has."""
    message = f"{id}-{n}-ä\n"
    status, answer = client.ask(id, "tools/call", name="echo", arguments={"message": message})
    if status != 200:
        return status, False
    text = answer["result"]["content"][0]["text"]
    return status, answer["id"] == id and text == f"Echo: {message}"


SERVERS = {"time": call_time, "everything": call_everything}
TOOLS = {"time": "convert_time", "everything": "echo"}


def check_one(server):
    client = Client(server)
    client.begin()
    status, answer = client.ask(1, "ping")
    expect(f"{server}: ping", (200, {}), (status, answer.get("result")))
    status, answer = client.ask(2, "tools/list")
    names = [tool["name"] for tool in answer["result"]["tools"]]
    expect(f"{server}: tools/list has {TOOLS[server]}", True, TOOLS[server] in names)
    expect(f"{server}: tools/call", (200, True), SERVERS[server](client, "once", 754))
    status, answer = client.ask(3, "tools/call", name="no-such-tool", arguments={})
    wrong = "error" in answer or answer["result"].get("isError") is True
    expect(f"{server}: its own error passes through", (200, True), (status, wrong))
    expect(f"{server}: the session ends", 204, client.send(None, "DELETE")[0])
    expect(f"{server}: ... and is no more", 404, client.ask(4, "ping")[0])


def check_under_load():
    """All clients of both servers at once, for a while."""
    until = time.monotonic() + SECONDS
    outcomes = {server: [] for server in SERVERS}

    def use(server, number):
        client = Client(server)
        client.begin()
        n = number
        while time.monotonic() < until:
            outcomes[server].append(SERVERS[server](client, f"{number}.{n}", n))
            n += CLIENTS

    users = [
        threading.Thread(target=use, args=(server, number))
        for server in SERVERS
        for number in range(CLIENTS)
    ]
    for user in users:
        user.start()
    killed = dict.fromkeys(SERVERS, 0)
    for _ in range(KILLS):
        time.sleep(SECONDS / (KILLS + 2))
        servers = get("/status")["servers"]
        for server in SERVERS:
            children = servers[server]["children"]
            if children:
                os.kill(random.choice(children), signal.SIGKILL)
                killed[server] += 1
    for user in users:
        user.join()
    for server, seen in outcomes.items():
        lost = [status for status, _ in seen if status != 200]
        wrong = [one for one in seen if one == (200, False)]
        done = len(seen) - len(lost)
        expect(f"{server}: {killed[server]} processes killed", KILLS, killed[server])
        expect(f"{server}: {done} answers, each the right one", [], wrong)
        expect(f"{server}: work is done", True, done > 100)
        limit = f"{server}: lost no more than one request for each ({len(lost)})"
        expect(limit, True, len(lost) <= killed[server])
        expect(f"{server}: which is told", set(), set(lost) - {502})


def check_recovery():
    """A killed process is found out by whoever gets it, unless it was found out before."""
    for server, call in SERVERS.items():
        client = Client(server)
        client.begin()
        answers = [call(client, "again", n) for n in range(20)]
        expect(f"{server}: all is well again", (200, True), answers[-1])
    expect("healthy", "ready", get("/healthz")["status"])


async def check_library(server, mode):
    from mcp.client import Client as Library

    async with Library(f"http://{address}/mcp/{server}", mode=mode) as client:
        tools = (await client.list_tools()).tools
        expect(
            f"{server}: the protocol's own library, {mode}, lists its tools",
            True,
            TOOLS[server] in [tool.name for tool in tools],
        )
        if server == "everything":
            answer = await client.call_tool("echo", {"message": "hello"})
            expect("... and calls one", "Echo: hello", answer.content[0].text)


for server in SERVERS:
    check_one(server)
for server in SERVERS:
    for mode in ("legacy", "auto"):
        asyncio.run(check_library(server, mode))
check_under_load()
check_recovery()
sys.exit(failures > 0)
