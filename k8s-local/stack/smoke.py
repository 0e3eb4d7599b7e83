"""Whether the stack does what it is for: the page, two people on two instances, history, resume, Socket.IO, health, metrics.

Each check is a function whose docstring is what it says; it knows the stack by its URL only.
"""

import http.client
import json
import secrets
import time
import traceback

from .problem import Problem
from .websocket import WITHIN_S, Chat, WebSocket

# Connections that are opened in search of a second instance.
TRIES = 20

# Of `confab probe`: its own limits are for a service that is watched, not for a machine that is busy.
PROBE = ("--json", "--within", "60", "--delivery-within", "20000")


class Skipped(Exception):
    """The check doesn't apply to what runs; why."""


def get(port, path):
    """Status, headers and body."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=WITHIN_S)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read().decode()
    finally:
        connection.close()


def expect(condition, why):
    if not condition:
        raise AssertionError(why)


def on_two_instances(port):
    """Two clients whose sockets are on two instances."""
    first = Chat(port, "Ada")
    for _ in range(TRIES):
        second = Chat(port, "Grace")
        if second.welcome["instance"] != first.welcome["instance"]:
            return first, second
        second.socket.close()
    first.socket.close()
    raise AssertionError(f"{TRIES} connections all reached {first.welcome['instance']}")


def send(chat, room, text):
    sent = chat.ask({"type": "send", "room": room, "key": secrets.token_hex(8), "text": text})
    expect(sent["type"] == "sent", f"a send was answered by {sent}")
    return sent


def page(port, **_):
    """the page loads, and what it needs"""
    status, fields, body = get(port, "/")
    expect(status == 200 and "<script" in body, f"/ answers {status}")
    expect("content-security-policy" in {name.lower() for name in fields}, "the page comes without a policy")


def health(port, **_):
    """the health paths answer, and Redis is reached"""
    for path in ("/health/startup", "/health/live", "/health/ready"):
        status, _, body = get(port, path)
        expect(status == 200, f"{path} answers {status}")
    # For a moment it may be away, a failover is one.
    deadline = time.monotonic() + WITHIN_S
    while not json.loads(body)["store"]["reachable"]:
        expect(time.monotonic() < deadline, f"the store isn't reached within {WITHIN_S} s: {body}")
        time.sleep(0.1)
        _, _, body = get(port, "/health/ready")


def two_instances(port, instances, **_):
    """two people on two instances hear each other, in one order"""
    if instances < 2:
        raise Skipped("the stack has one instance")
    room = f"smoke {secrets.token_hex(4)}"
    one, other = on_two_instances(port)
    with one, other:
        for chat in (one, other):
            joined = chat.ask({"type": "join", "room": room})
            expect(joined["type"] == "joined", f"a join was answered by {joined}")
        for number in range(5):
            send(one, room, f"from one {number}")
            send(other, room, f"from the other {number}")
        seen = []
        for chat in (one, other):
            texts = [chat.await_object(lambda it: it["type"] == "message")["text"] for _ in range(10)]
            seen.append(texts)
        expect(seen[0] == seen[1], f"two orders: {seen}")


def history(port, **_):
    """who comes later reads what was said"""
    room = f"smoke {secrets.token_hex(4)}"
    with Chat(port, "Ada") as early:
        early.ask({"type": "join", "room": room})
        for number in range(3):
            send(early, room, f"said {number}")
    with Chat(port, "Grace") as late:
        joined = late.ask({"type": "join", "room": room})
        texts = [entry["text"] for entry in joined["entries"]]
        expect(texts == ["said 0", "said 1", "said 2"], f"the newest page is {texts}")


def resume(port, **_):
    """who was away gets what was missed, and nothing twice"""
    room = f"smoke {secrets.token_hex(4)}"
    with Chat(port, "Ada") as writer:
        writer.ask({"type": "join", "room": room})
        with Chat(port, "Grace") as reader:
            reader.ask({"type": "join", "room": room})
            position = send(writer, room, "before")["position"]
            token = reader.welcome["token"]
        send(writer, room, "meanwhile")
        with Chat(port, "Grace", token) as again:
            joined = again.ask({"type": "join", "room": room, "since": position})
            texts = [entry["text"] for entry in joined["entries"]]
            expect(joined["recovered"] and texts == ["meanwhile"], f"resumed with {joined}")


def replicated(port, replica, **_):
    """an acknowledgement says that the replica has it"""
    if not replica:
        raise Skipped("the stack has no replica")
    with Chat(port, "Ada") as chat:
        chat.ask({"type": "join", "room": "smoke"})
        durability = send(chat, "smoke", "is it safe?").get("durability")
        expect(durability == "replicated", f"durability is {durability}")


def socketio(port, **_):
    """a Socket.IO client gets its handshake"""
    try:
        client = WebSocket(port, "/socket.io/?EIO=4&transport=websocket")
    except ConnectionRefusedError as refused:
        if "404" in str(refused):
            raise Skipped("this build has no Socket.IO door") from refused
        raise
    with client:
        opened = client.receive()
        expect(opened.startswith("0{"), f"the handshake is {opened}")
        client.send("40")
        connected = client.receive()
        expect(connected.startswith("40"), f"connecting was answered by {connected}")


def metrics(port, ops, **_):
    """every instance gives its metrics to those who operate it, and to nobody else"""
    if not ops:
        raise Skipped("the instances' operations ports are closed or out of reach here")
    for own in ops:
        status, _, body = get(own, "/metrics")
        expect(status == 200 and "confab_" in body and body.endswith("# EOF\n"), f"/metrics answers {status}: {body[-80:]!r}")
    status, _, _ = get(port, "/metrics")
    expect(status == 404, f"/metrics answers {status} on the port of the chat")


def probed(probe, **_):
    """the service's own probe gets its message through, with a cut in the middle"""
    if probe is None:
        raise Skipped("the service's program isn't at hand here")
    worked, said = probe(*PROBE)
    expect(worked, f"confab probe: {said}")


CHECKS = (page, health, two_instances, history, resume, replicated, socketio, probed, metrics)


def run(port, instances, replica, ops=None, probe=None):
    """Runs all, says what each did; a Problem if one failed. `probe` runs `confab probe` with more arguments, and gives
    whether it worked and what it said."""
    failed = []
    for check in CHECKS:
        said = check.__doc__
        try:
            check(port=port, instances=instances, replica=replica, ops=ops, probe=probe)
            print(f"ok       {said}", flush=True)
        except Skipped as why:
            print(f"skipped  {said}: {why}", flush=True)
        except Exception as error:
            failed.append(check.__name__)
            where = traceback.extract_tb(error.__traceback__)[-1]
            print(f"FAILED   {said}: {error or type(error).__name__} ({where.name})", flush=True)
    if failed:
        raise Problem(f"smoke: {len(failed)} of {len(CHECKS)} failed: {', '.join(failed)}")
