"""One small program for every state a dyno can be in: web answers, crash exits, hog takes all memory, deaf ignores SIGTERM."""

import http.server
import os
import signal
import socketserver
import sys
import time

print("up as", os.environ["DYNO"], "with", os.environ.get("FROM_PROFILE"))


class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = f"{os.environ.get('ROUND', '0')} {os.environ.get('FROM_PROFILE')}\n".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    request_queue_size = 256


kind = sys.argv[1]
if kind == "web":
    server = Server(("", int(os.environ["PORT"])), Answer)
    # As a well-behaved server does: what is under way is finished.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    server.serve_forever()
elif kind == "crash":
    sys.exit(7)
elif kind == "hog":
    held = []
    while True:
        held.append(bytearray(8 << 20))
elif kind == "deaf":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while True:
        time.sleep(1)
