"""Everything that can be broken is broken while clients chat, and nothing is lost. That the checker finds what is lost is
shown once, with a store that is emptied behind everybody's back."""

import re
import signal
import subprocess
import threading
import time

import pytest
from conftest import WITHIN_S, until


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
    """A run of chaos in the middle of the fault, which it doesn't end for as long as it may be, and the status then."""
    process = running.start("chaos", "--seconds", "60", fault)
    seen = {}

    def something_is_broken():
        seen.update(running.status())
        return seen["broken"] or process.poll() is not None

    until(something_is_broken, "something is broken")
    assert len(seen["broken"]) == 1 and re.fullmatch(FOR_A_WHILE[fault], seen["broken"][0]), seen
    assert not seen["ready"]
    return process, seen


@pytest.mark.parametrize("fault", FOR_A_WHILE)
def test_an_interrupted_run_mends_what_it_broke(running, fault):
    process, _ = begun(running, fault)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=WITHIN_S)
    assert process.returncode == 130 and "what was broken is mended" in output, output
    assert running.status()["broken"] == []
    until(lambda: running.status()["ready"], "the stack is whole")


@pytest.mark.parametrize("fault", FOR_A_WHILE)
def test_what_a_killed_run_left_broken_is_said_and_mended_by_the_next_up(running, fault):
    process, seen = begun(running, fault)
    process.kill()
    process.communicate(timeout=WITHIN_S)
    said = running.run("status")
    assert said.code == 1 and "not ready" in said.output, said.output
    assert re.search(FOR_A_WHILE[fault] + ": make local-up mends it", said.output), said.output
    up = running.run("up")
    assert up.code == 0 and re.search(FOR_A_WHILE[fault] + ": mended", up.output), up.output
    status = running.status()
    assert status["ready"] and status["broken"] == [] and status["pids"] == seen["pids"]


def test_a_fault_that_nobody_carries_out_is_no_fault(tmp_path):
    from stack import chaos
    from stack.problem import Problem

    hands = chaos.Processes(tmp_path)
    for fault in (chaos.drop_sockets, chaos.redis_away, chaos.rotate):
        with pytest.raises(Problem, match="nobody answered"):
            fault(chaos.Stack(hands, 1, 1))
    with pytest.raises(Problem, match="no instance is ready"):
        chaos.kill(chaos.Stack(hands, 1, 1))


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("""echo '{"error": "the door is shut"}'""", "the clients have no result: the door is shut"),
        ("exit 7", "the clients ended with 7 and no result"),
        ("""echo '{"clean": true}'""", "the clients ended before the faults did"),
    ],
)
def test_clients_that_end_too_early_are_told_in_one_line(program, said):
    from stack.chaos import Witness
    from stack.problem import Problem

    process = subprocess.Popen(["sh", "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    process.wait()
    with pytest.raises(Problem, match=said):
        Witness(process).note("kill")


def test_chaos_takes_only_seconds_that_a_frozen_instance_survives(running):
    for wrong in ("0", "61", "-3", "long"):
        done = running.run("chaos", "--seconds", wrong, "freeze")
        assert done.code == 2 and "allowed is a whole number from 1 to 60" in done.output, done.output


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
