"""As much of Redis's protocol (RESP2) as the stack needs for its own commands, over a socket in the file system."""

import socket

WITHIN_S = 10

# redis-cli in the container of a node; what it is asked comes on its standard input, so that no password is an argument.
IN_CONTAINER = ("redis-cli", "--tls", "--cacert", "/secrets/redis-ca/ca.pem", "-p", "6378")


class RedisError(Exception):
    """Redis refused a command, or doesn't answer."""


class Redis:
    """One connection, signed in as the stack's own user."""

    def __init__(self, path, user, password):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(WITHIN_S)
        try:
            self.socket.connect(str(path))
        except OSError as error:
            self.socket.close()
            raise RedisError(f"{path.name}: {error.strerror or error}") from error
        self.file = self.socket.makefile("rb")
        self.command("AUTH", user, password)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()
        self.socket.close()

    def command(self, *words):
        encoded = [str(word).encode() for word in words]
        request = b"*%d\r\n" % len(encoded) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in encoded)
        try:
            self.socket.sendall(request)
            return self._answer()
        except OSError as error:
            raise RedisError(f"{words[0]}: {error}") from error

    def info(self, section):
        lines = self.command("INFO", section).splitlines()
        return dict(line.split(":", 1) for line in lines if ":" in line)

    def _answer(self):
        line = self.file.readline()
        kind, rest = line[:1], line[1:].strip()
        if kind == b"$":
            if rest == b"-1":
                return None
            data = self.file.read(int(rest) + 2)
            return data[:-2].decode()
        if kind == b"*":
            return [self._answer() for _ in range(int(rest))]
        if kind == b"-":
            raise RedisError(rest.decode())
        if kind not in (b"+", b":"):
            raise RedisError("the connection ended")
        return rest.decode()


def about_replication(password):
    """What a node's redis-cli is told to say how it replicates, as the stack's own user."""
    return f"AUTH operator {password}\nINFO replication\n"


def is_linked(said):
    """Whether that is said by a replica that has what its primary has."""
    return "master_link_status:up" in said.split()
