"""The secrets of the stack as files, in the folders and under the names that Cloud Run mounts: an authority, Redis's
certificate, passwords, the keys of guest tokens.

The certificate carries the address as its common name and no alternative name, as Memorystore's is reported to do.
"""

import hashlib
import os
import secrets
import shutil
import subprocess

from .problem import Problem

DAYS = "3650"

# What Memorystore blocks (its list of blocked commands).
BLOCKED = (
    "acl", "bgrewriteaof", "bgsave", "cluster", "command", "config", "debug", "lastsave", "migrate", "module", "monitor",
    "object", "replicaof", "save", "shutdown", "slaveof",
)  # fmt: skip


def openssl(*arguments, cwd):
    if not shutil.which("openssl"):
        raise Problem("openssl isn't installed: it makes the certificates of Redis; install openssl")
    done = subprocess.run(["openssl", *arguments], cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Problem(f"openssl {arguments[0]} failed: {done.stderr.strip().splitlines()[-1]}")


class SecretFiles:
    """Below `home`: redis-ca/ca.pem, redis-server/, redis-auth/password, redis-users/, token-keys/keys."""

    def __init__(self, home):
        self.home = home
        self.ca = home / "redis-ca" / "ca.pem"
        self.certificate = home / "redis-server" / "server.pem"
        self.key = home / "redis-server" / "server.key"
        self.password = home / "redis-auth" / "password"
        self.users = home / "redis-users" / "users.acl"
        self.replication = home / "redis-users" / "replication.conf"
        self.keys = home / "token-keys" / "keys"
        self.operator = home / "redis-users" / "operator"
        self.authority_key = home / "authority" / "ca.key"

    def make(self, mode=0o600):
        """Makes what isn't there yet. Readable by this user alone, unless containers with another one have to read it."""
        for file in (self.ca, self.certificate, self.password, self.users, self.keys, self.authority_key):
            file.parent.mkdir(parents=True, exist_ok=True)
        if not self.certificate.exists():
            self.new_certificates()
        if not self.keys.exists():
            write(self.keys, secrets.token_urlsafe(32))
        if not self.users.exists():
            write(self.operator, secrets.token_urlsafe(24))
            write(self.password, secrets.token_urlsafe(24))
            self.write_users([self.password.read_text()])
        for file in self.home.glob("*/*"):
            if file != self.authority_key:
                file.chmod(mode)

    def new_certificates(self):
        """A new authority and a certificate of it. The list of authorities keeps the old ones, as Memorystore publishes."""
        work = self.authority_key.parent
        ec = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        openssl("req", "-x509", "-days", DAYS, *ec, "-subj", f"/CN=local authority {secrets.token_hex(4)}",
                "-addext", "keyUsage=critical,keyCertSign,cRLSign",
                "-keyout", "ca.key", "-out", "ca.pem", cwd=work)  # fmt: skip
        openssl("req", *ec, "-subj", "/CN=127.0.0.1", "-keyout", "server.key", "-out", "server.csr", cwd=work)
        (work / "server.ext").write_text("basicConstraints=CA:FALSE\nextendedKeyUsage=serverAuth\n")
        openssl("x509", "-req", "-days", DAYS, "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key",
                "-CAcreateserial", "-extfile", "server.ext", "-out", "server.pem", cwd=work)  # fmt: skip
        known = self.ca.read_text() if self.ca.exists() else ""
        write(self.ca, (work / "ca.pem").read_text() + known)
        write(self.key, (work / "server.key").read_text())
        write(self.certificate, (work / "server.pem").read_text())

    def new_password(self):
        """Writes a new password for the service and returns the old one; Redis has to be told by whoever asks for it."""
        old = self.password.read_text()
        write(self.password, secrets.token_urlsafe(24))
        self.write_users([self.password.read_text()])
        return old

    def write_users(self, passwords):
        """Who may do what: the service everything but what Memorystore blocks, the stack itself everything."""
        hashed = " ".join("#" + hashlib.sha256(password.encode()).hexdigest() for password in passwords)
        operator = self.operator.read_text()
        own = hashlib.sha256(operator.encode()).hexdigest()
        blocked = " ".join(f"-{command}" for command in BLOCKED)
        write(self.users, f"user default on {hashed} ~* &* +@all {blocked}\nuser operator on #{own} ~* &* +@all\n")
        write(self.replication, f"masteruser operator\nmasterauth {operator}\n")


def write(path, text):
    """Replaces a file as a whole, so that nobody reads half of one."""
    mode = path.stat().st_mode & 0o777 if path.exists() else 0o600
    new = path.with_name(path.name + ".new")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    new.replace(path)
