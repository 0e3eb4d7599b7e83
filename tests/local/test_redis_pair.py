"""A Redis primary and its replica, without the rest of the stack."""

import pytest
from conftest import until


@pytest.fixture
def pair(tmp_path):
    from stack.redis_pair import RedisPair
    from stack.secret_files import SecretFiles

    (tmp_path / "logs").mkdir()
    secrets = SecretFiles(tmp_path / "secrets")
    secrets.make()
    pair = RedisPair(tmp_path, secrets)
    try:
        pair.start()
        yield pair
    finally:
        pair.stop()


def test_a_replica_that_could_not_be_told_whom_it_follows_is_told_again(pair, monkeypatch):
    from stack.redis_client import RedisError
    from stack.redis_pair import Node

    def refuses(node, primary):
        raise RedisError(f"{node.name} doesn't hear of {primary.name}")

    pair.replica.kill()
    with monkeypatch.context() as patched:
        patched.setattr(Node, "follow", refuses)
        with pytest.raises(RedisError):
            pair.mend()
    pid = pair.replica.process.pid
    assert pair.replica.lives() and not pair.replicates()
    pair.mend()
    until(pair.replicates, "the replica follows")
    assert pair.replica.process.pid == pid, "one that lives isn't started again"
