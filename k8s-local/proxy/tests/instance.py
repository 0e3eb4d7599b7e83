"""A container for the tests of the fleet: healthy at once, says its process and revision, may ignore SIGTERM, reaches its
store unless it is told that the store is away."""

import http.server
import os
import signal
import sys

if "--stubborn" in sys.argv:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
else:
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))


class Answer(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path == "/health/ready":
            body = b'{"store":{"reachable":%s}}' % (b"false" if "--store-away" in sys.argv else b"true")
        else:
            body = f"pid={os.getpid()} revision={os.environ['K_REVISION']} service={os.environ['K_SERVICE']}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Answer).serve_forever()
