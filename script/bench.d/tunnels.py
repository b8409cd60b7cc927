"""Tunnels for the router bench: an upstream that switches protocols and echoes, and clients that
play ping-pong through a proxy. Plain sockets and epoll: what is measured is the proxy between."""

import multiprocessing
import os
import resource
import selectors
import socket
import time

PING = b"p" * 100
UPGRADE = (
    "GET /ws HTTP/1.1\r\nHost: app-0.localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: c2llc3RhIHNpZXN0YSAxMg==\r\n\r\n"
).encode()
SWITCHED = (
    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Accept: x\r\n\r\n"
).encode()


def lift_open_files():
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def serve(port, core, ready):
    """Answers each connection's head with 101 and echoes what follows."""
    os.sched_setaffinity(0, {core})
    lift_open_files()
    listener = socket.create_server(("127.0.0.1", port), backlog=4096)
    listener.setblocking(False)
    chooser = selectors.DefaultSelector()
    chooser.register(listener, selectors.EVENT_READ, None)
    ready.set()
    while True:
        for key, _ in chooser.select():
            if key.data is None:
                try:
                    one, _ = listener.accept()
                except BlockingIOError:
                    continue
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                chooser.register(one, selectors.EVENT_READ, {"head": b""})
                continue
            one, state = key.fileobj, key.data
            try:
                got = one.recv(65536)
            except OSError:
                got = b""
            if not got:
                chooser.unregister(one)
                one.close()
            elif state["head"] is None:
                one.sendall(got)
            else:
                state["head"] += got
                if b"\r\n\r\n" in state["head"]:
                    state["head"] = None
                    one.sendall(SWITCHED)


def echo_server(port, core):
    """The upstream, in a process of its own."""
    ready = multiprocessing.Event()
    process = multiprocessing.Process(target=serve, args=(port, core, ready), daemon=True)
    process.start()
    if not ready.wait(10):
        raise RuntimeError("the echo server does not start")
    return process


def open_tunnels(port, count):
    tunnels = []
    for _ in range(count):
        one = socket.create_connection(("127.0.0.1", port), timeout=10)
        one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        one.sendall(UPGRADE)
        head = b""
        while b"\r\n\r\n" not in head:
            got = one.recv(4096)
            if not got:
                raise RuntimeError(f"no tunnel: {head!r}")
            head += got
        if not head.startswith(b"HTTP/1.1 101 "):
            raise RuntimeError(f"no tunnel: {head!r}")
        tunnels.append(one)
    return tunnels


def close_tunnels(tunnels):
    for one in tunnels:
        one.close()


def ping_pong(tunnels, seconds):
    """Every tunnel sends, waits for the echo and sends again. Returns how many echoes came."""
    chooser = selectors.DefaultSelector()
    for one in tunnels:
        chooser.register(one, selectors.EVENT_READ, [0])
        one.sendall(PING)
    echoes, end = 0, time.monotonic() + seconds
    while time.monotonic() < end:
        for key, _ in chooser.select(1):
            got = key.fileobj.recv(4096)
            if not got or got.strip(b"p"):
                raise RuntimeError("an echo is wrong")
            key.data[0] += len(got)
            if key.data[0] == len(PING):
                key.data[0] = 0
                echoes += 1
                key.fileobj.sendall(PING)
    for one in tunnels:
        chooser.unregister(one)
    return echoes
