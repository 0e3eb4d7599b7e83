"""Everything that can be broken is broken while clients chat, and nothing is lost. That the checker finds what is lost is
shown once, with a store that is emptied behind everybody's back."""

import re
import signal
import threading
import time

import pytest
from conftest import WITHIN_S
from test_native import until


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


# What is broken on purpose for a while, and what the status says meanwhile.
FOR_A_WHILE = {
    "freeze": r"instance-\d+ is frozen",
    "freeze-redis": r"Redis's primary \(redis-[ab]\) is frozen",
    "redis-away": "Redis's address leads nowhere",
}


def begun(running, fault):
    """A run of chaos in the middle of the fault, in its long form: nothing mends it meanwhile."""
    process = running.start("chaos", fault)
    until(lambda: running.status()["broken"] or process.poll() is not None, "something is broken")
    status = running.status()
    assert len(status["broken"]) == 1 and re.fullmatch(FOR_A_WHILE[fault], status["broken"][0]), status
    assert not status["ready"]
    return process


@pytest.mark.parametrize("fault", FOR_A_WHILE)
def test_an_interrupted_run_mends_what_it_broke(running, fault):
    process = begun(running, fault)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=WITHIN_S)
    assert process.returncode == 130 and "what was broken is mended" in output, output
    assert running.status()["broken"] == []
    until(lambda: running.status()["ready"], "the stack is whole")


@pytest.mark.parametrize("fault", FOR_A_WHILE)
def test_what_a_killed_run_left_broken_is_said_and_mended_by_the_next_up(running, fault):
    process = begun(running, fault)
    process.kill()
    process.communicate(timeout=WITHIN_S)
    pids = running.status()["pids"]
    said = running.run("status")
    assert said.code == 1 and "not ready" in said.output, said.output
    assert re.search(FOR_A_WHILE[fault] + ": make local-up mends it", said.output), said.output
    up = running.run("up")
    assert up.code == 0 and re.search(FOR_A_WHILE[fault] + ": mended", up.output), up.output
    status = running.status()
    assert status["ready"] and status["broken"] == [] and status["pids"] == pids


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
