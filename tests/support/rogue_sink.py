"""A sink's process that was taken over: answers the first batch as its name of a way says."""

import json
import os
import socket
import sys

line = socket.socket(fileno=int(sys.argv[1]))


def receive():
    data = b""
    while len(data) < 4:
        data += line.recv(4 - len(data)) or sys.exit(0)
    size, body = int.from_bytes(data, "big"), b""
    while len(body) < size:
        body += line.recv(size - len(body)) or sys.exit(0)
    return json.loads(body)


def answer(**change):
    body = {"confirmed": 0, "refusals": [], "failed": "", "wholly": False, "retry_s": 0} | change
    raw = json.dumps(body).encode()
    return len(raw).to_bytes(4, "big") + raw


way = receive()["address"].partition("//")[2].partition(".")[0]
count = len(receive())
whole = [{"first": 0, "last": count - 1, "count": count, "why": "no"}]
WAYS = {
    "beyond": lambda: answer(confirmed=10**9),
    "before": lambda: answer(confirmed=-5, failed="x"),
    "everything-dead": lambda: answer(confirmed=count, refusals=whole),
    "nothing-said": lambda: answer(confirmed=0),
    "garbage": lambda: b"\0\0\0\x04nope",
    "endless": lambda: b"\xff\xff\xff\xff" + b"x" * 1000,
    "half": lambda: answer(confirmed=count)[:9],
}
line.sendall(WAYS[way]())
if way == "half":
    os._exit(0)
receive()
