"""Signs in, sends one message, waits for another one, prints what it was told, and leaves."""

import json
import sys
import threading

import socketio

PATIENCE_S = 60

url, transports = sys.argv[1:]
client = socketio.Client()
heard = []
both = threading.Event()


@client.on("message")
def on_message(message, *_place):
    heard.append(message["text"])
    if len(heard) == 2:
        both.set()


client.connect(url, transports=transports.split(","), wait_timeout=PATIENCE_S)
# An answer of two arguments comes as a tuple, one of one argument as itself, and one of none as nothing.
signin = client.call("signin", {"user": "Ada", "room": "R"}, timeout=PATIENCE_S)
sent = client.call("sendMessage", "from Python", timeout=PATIENCE_S)
unknown = client.call("drawing", timeout=PATIENCE_S)
arrived = both.wait(PATIENCE_S)
print(json.dumps({"signin": list(signin), "sent": [] if sent is None else sent, "unknown": unknown, "heard": heard}))
client.disconnect()
sys.exit(0 if arrived else 1)
