"""Everything that can be broken is broken while clients chat, and nothing is lost. That the checker finds what is lost is
shown once, with a store that is emptied behind everybody's back."""

import re
import threading
import time

import pytest


def figures(output):
    """The numbers of the last line by the word behind each."""
    line = next(line for line in reversed(output.splitlines()) if re.match(r"chaos: \d+ faults", line))
    return {word: int(number) for number, word in re.findall(r"(\d+) (\w+)", line)}


def test_nothing_is_lost_whatever_breaks(running):
    before = running.status()
    done = running.run("chaos", "--short")
    assert done.code == 0, done.output
    found = figures(done.output)
    assert found["faults"] == 10 and found["acknowledged"] >= 50 and found["resumes"] >= 16, done.output
    assert found["lost"] == found["twice"] == found["out"] == found["gaps"] == 0, done.output
    after = running.status()
    assert after["redis"]["primary"] != before["redis"]["primary"]
    assert {one["revision"] for one in after["front"]["instances"]} == {2}


@pytest.mark.long
def test_what_is_lost_is_found(running):
    from stack.redis_client import Redis

    def empty_the_store():
        status = running.status()
        password = (running.state / "secrets" / "redis-users" / "operator").read_text()
        time.sleep(2)  # in the middle of the outage below, which lasts 5 s
        with Redis(running.state / f"{status['redis']['primary']}.sock", "operator", password) as redis:
            redis.command("FLUSHALL")

    process = running.start("chaos", "--short", "redis-away", "cut-subscribers")
    # The output is read by nobody meanwhile; it is a few lines.
    for line in process.stdout:
        if line.startswith("chaos: nobody answers"):
            threading.Thread(target=empty_the_store).start()
            break
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 1 and re.search(r" [1-9][0-9]* lost", output), output
