"""One small program for every state a dyno can be in and every way it can answer. Types: web answers (below: its paths),
crash exits, hog takes all memory, deaf ignores SIGTERM and SIGHUP. With UNBOUND web never listens."""

import http.server
import os
import signal
import socket
import socketserver
import sys
import threading
import time

held = []


def hog():
    while True:
        held.append(bytearray(8 << 20))


def wait():
    while True:
        time.sleep(60)


class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        word, _, rest = self.path.strip("/").partition("?")
        getattr(self, word or "usual", self.usual)(rest)

    def usual(self, _):
        self.whole(f"{os.environ.get('ROUND', '0')} {os.environ.get('FROM_PROFILE')}\n".encode())

    def whole(self, body):
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def raw(self, text):
        self.wfile.write(text)
        self.wfile.flush()

    def slow(self, _):
        time.sleep(30)

    def rude(self, _):
        self.connection.shutdown(socket.SHUT_RDWR)

    def nonsense(self, _):
        self.raw(b"nonsense\r\n\r\n")

    def countless(self, _):
        self.raw(b"HTTP/1.1 200 OK\r\nContent-Length: abc\r\n\r\n")

    def stuck(self, _):
        self.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
        time.sleep(30)

    def torn(self, _):
        self.raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n7\r\n")

    def exit(self, code):
        os._exit(int(code))

    def hog(self, _):
        hog()

    def fill(self, size):
        with open("filled", "wb") as file:
            file.write(bytes(int(size)))
        self.whole(b"filled\n")

    def hold(self, size):
        held.append(bytearray(int(size)))
        self.whole(b"held\n")

    def unlisten(self, _):
        self.whole(b"bye\n")
        threading.Thread(target=self.server.shutdown).start()

    def log_message(self, *_):
        pass


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    request_queue_size = 256


print("up as", os.environ["DYNO"], "with", os.environ.get("FROM_PROFILE"))
kind = sys.argv[1]
if kind == "web" and os.environ.get("UNBOUND"):
    wait()
elif kind == "web":
    server = Server(("", int(os.environ["PORT"])), Answer)
    # As a well-behaved server does: what is under way is finished.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    server.serve_forever(poll_interval=0.1)
    server.server_close()
    wait()
elif kind == "crash":
    sys.exit(7)
elif kind == "hog":
    hog()
elif kind == "deaf":
    for name in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, signal.SIG_IGN)
    print("deaf")
    wait()
