"""The native stack, up and down, on real processes."""

import os
import shutil
import signal
import socket
import subprocess

import pytest
from conftest import WITHIN_S, until


def is_free(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def assert_nothing_is_left(stack, status):
    until(lambda: not stack.processes(), "every process has ended")
    assert not stack.state.exists()
    assert is_free(status["port"]) and is_free(status["redis_port"])


def test_it_comes_up_serves_and_goes_without_a_trace(local):
    status = local.up()
    assert len(status["front"]["instances"]) == 2 and status["redis"]["replicates"]
    again = local.run("up")
    assert again.code == 0 and local.status()["pids"] == status["pids"], again.output
    smoke = local.run("smoke")
    assert smoke.code == 0 and "FAILED" not in smoke.output, smoke.output
    # All nine, none of them skipped.
    assert smoke.output.count("ok ") == 9, smoke.output
    listed = local.run("status")
    assert listed.code == 0, listed.output
    assert "instance-2  ready" in listed.output and "redis-a  primary, replicated" in listed.output, listed.output
    assert f"http://127.0.0.1:{status['port']}/" in listed.output and "redis-ca/ca.pem" in listed.output, listed.output
    down = local.run("down")
    assert down.code == 0, down.output
    assert_nothing_is_left(local, status)


def test_other_settings_start_it_again_and_a_cold_start_serves(local):
    before = local.up()
    after = local.up(LOCAL_INSTANCES="0")
    assert after["pids"] != before["pids"] and after["front"]["instances"] == []
    smoke = local.run("smoke")
    assert smoke.code == 0, smoke.output


def test_a_redis_that_refuses_what_the_stack_needs_is_told_in_one_line_and_nothing_stays(local, tmp_path):
    redis = tmp_path / "redis-server"
    redis.write_text(f'#!/bin/sh\nexec {shutil.which("redis-server")} "$1" --rename-command REPLICAOF ""\n')
    redis.chmod(0o755)
    done = local.run("up", PATH=f"{tmp_path}:{os.environ['PATH']}")
    assert done.code == 1 and "Traceback" not in done.output, done.output
    said = done.output.strip().splitlines()[-1]
    assert "doesn't get ready: Redis refuses what the stack needs: ERR unknown command 'REPLICAOF'" in said, done.output
    until(lambda: not local.processes(), "every process has ended")
    assert not local.state.exists()


def test_what_a_crash_left_is_cleaned_away_by_the_next_start(local):
    before = local.up()
    os.kill(before["pids"]["supervisor"], signal.SIGKILL)
    until(lambda: not local.processes(), "the others end with the supervisor")
    done = local.run("up")
    assert done.code == 0 and "what an earlier start left is cleaned away" in done.output, done.output


def test_an_interrupted_start_leaves_nothing(local):
    process = local.start("up")
    until(lambda: local.processes() or process.poll() is not None, "the start has begun")
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=WITHIN_S)
    assert process.returncode == 130 and "interrupted" in output, output
    until(lambda: not local.processes(), "every process has ended")
    assert not local.state.exists()


def test_a_killed_front_endpoint_or_redis_comes_back(running):
    for name in ("front", "endpoint"):
        before = running.status()["pids"][name]
        os.kill(before, signal.SIGKILL)

        def is_back(name=name, before=before):
            status = running.status()
            return status and status["pids"][name] != before and status["ready"]

        until(is_back, f"the {name} is back")
    primary = running.status()["redis"]["primary"]
    os.kill(running.status()["redis"]["pids"][primary], signal.SIGKILL)
    until(lambda: (running.status() or {}).get("redis", {}).get("primary") not in (None, primary), "the replica took over")
    until(lambda: running.status()["ready"], "the stack is whole again")
    smoke = running.run("smoke")
    assert smoke.code == 0, smoke.output


def test_two_nodes_of_redis_that_die_at_once_come_back(running):
    until(lambda: running.status()["ready"], "the stack is whole")
    before = running.status()["redis"]["pids"]
    for pid in before.values():
        os.kill(pid, signal.SIGKILL)

    def are_back():
        status = running.status()
        pids = status["redis"]["pids"]
        return status["ready"] and len(pids) == 2 and not set(pids.values()) & set(before.values())

    until(are_back, "both are back, and the instances reach them")
    smoke = running.run("smoke")
    assert smoke.code == 0, smoke.output


def test_ready_is_said_only_while_every_instance_reaches_redis(running):
    until(lambda: running.status()["ready"], "the stack is whole")
    endpoint = running.status()["pids"]["endpoint"]
    os.kill(endpoint, signal.SIGSTOP)
    try:
        until(lambda: not running.status()["ready"], "it notices that nobody answers at the address of Redis")
        assert running.status()["redis"]["replicates"], "Redis itself is well"
    finally:
        os.kill(endpoint, signal.SIGCONT)
    until(lambda: running.status()["ready"], "the instances reach it again")


def test_a_second_up_that_fails_leaves_the_running_stack_alone(running, tmp_path):
    before = running.status()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = running.run("up", LOCAL_PORT=str(taken.getsockname()[1]))
    assert done.code == 1 and "is taken by python" in done.output, done.output
    # An interrupt in the middle of the build: a cargo that says when it is at work, and goes on for ever.
    begun = tmp_path / "begun"
    cargo = tmp_path / "cargo"
    cargo.write_text(f"#!/bin/sh\ntouch {begun}\nexec sleep 600\n")
    cargo.chmod(0o755)
    process = running.start("up", LOCAL_INSTANCES="3", PATH=f"{tmp_path}:{os.environ['PATH']}")
    until(lambda: begun.exists() or process.poll() is not None, "it builds")
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=WITHIN_S)
    assert process.returncode == 130 and "interrupted, nothing was changed" in output, output
    assert running.status()["pids"] == before["pids"]
    until(lambda: running.status()["ready"], "it goes on")


def test_a_port_that_is_held_goes_to_nobody_by_chance_and_to_whoever_asks_for_it():
    from stack.processes import hold_port

    with hold_port(0, "LOCAL_PORT") as held, socket.socket() as server:
        port = held.getsockname()[1]
        with pytest.raises(OSError, match="in use"), socket.socket() as other:
            other.bind(("127.0.0.1", port))
        assert is_free(port)
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind(("127.0.0.1", port))
        server.listen()
        assert not is_free(port)


def test_a_taken_port_is_told_with_who_has_it(local):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = local.run("up", LOCAL_PORT=str(port))
    assert done.code == 1, done.output
    assert f"port {port} is taken by python" in done.output and f"process {os.getpid()}" in done.output, done.output
    assert done.output.strip().splitlines()[-1].startswith("local: ") and not local.state.exists()


def test_every_wrong_setting_is_told_at_once(local):
    done = local.run("up", LOCAL_PORT="80800", LOCAL_CONCURRENCY="many", LOCAL_RUNTIME="podman", LOCAL_MAX_INSTANCES="1")
    assert done.code == 1
    for name in ("LOCAL_PORT=80800", "LOCAL_CONCURRENCY=many", "LOCAL_RUNTIME=podman", "LOCAL_MAX_INSTANCES=1"):
        assert name in done.output, done.output


def test_a_program_that_is_missing_or_for_another_machine_is_told(local, tmp_path):
    foreign = tmp_path / "confab"
    foreign.write_bytes(b"\x7fELF of another architecture")
    foreign.chmod(0o755)
    done = local.run("up", LOCAL_PROGRAM=str(foreign))
    assert done.code == 1 and "isn't for this machine's processor" in done.output, done.output
    without = tmp_path / "bin"
    without.mkdir()
    for name in ("env", "python3"):
        (without / name).symlink_to(subprocess.check_output(["which", name], text=True).strip())
    done = local.run("up", PATH=str(without))
    assert done.code == 1 and "native needs redis-server, which isn't installed" in done.output, done.output


def test_a_full_disk_is_told(local):
    from stack.problem import of_the_machine

    # A file system on which nothing is ever left.
    done = local.run("up", LOCAL_STATE="/proc/state")
    assert done.code == 1 and "the disk is full: 0 MiB are left for /proc, 32 are needed: make room" in done.output, done.output
    # Beside it, only what runtime it is, and that it builds.
    assert len(done.output.strip().splitlines()) == 3, done.output
    assert "the disk is full (/x): make room" in of_the_machine(OSError(28, "No space left on device", "/x"))


def test_a_folder_with_something_else_in_it_is_left_alone(local, tmp_path):
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "letter").write_text("dear")
    for command in ("up", "down"):
        done = local.run(command, LOCAL_STATE=str(theirs))
        assert done.code != 0 and f"LOCAL_STATE={theirs}: not empty and not a local stack's" in done.output, done.output
    assert (theirs / "letter").read_text() == "dear"


def test_a_removal_that_ends_anywhere_in_the_middle_can_be_run_again(local, monkeypatch):
    from stack.settings import OWN, is_foreign, make_state, remove_state

    def interrupted_at(call):
        """Ends the removal at one of its steps; whether there were so many."""
        steps = 0

        def step(real):
            def counted(*arguments, **more):
                nonlocal steps
                steps += 1
                if steps == call:
                    raise KeyboardInterrupt
                return real(*arguments, **more)

            return counted

        make_state(local.state)
        (local.state / "logs").mkdir(exist_ok=True)
        for name in ("a", "logs/b", "z"):
            (local.state / name).touch()
        with monkeypatch.context() as patched:
            patched.setattr(os, "unlink", step(os.unlink))
            patched.setattr(os, "rmdir", step(os.rmdir))
            try:
                remove_state(local.state)
            except KeyboardInterrupt:
                return True
        return False

    # Three files, the folder of one, the mark and the folder itself.
    for call in range(1, 7):
        assert interrupted_at(call), call
        assert not is_foreign(local.state), call
    assert not interrupted_at(7) and not local.state.exists()
    assert interrupted_at(5) and (local.state / OWN).exists()
    done = local.run("down")
    assert done.code == 0 and "nothing is left" in done.output and not local.state.exists(), done.output


def test_what_cannot_be_removed_is_named_and_the_next_down_tries_again(local, monkeypatch):
    from stack.problem import Problem
    from stack.settings import make_state, remove_state

    make_state(local.state)
    (local.state / "theirs").touch()
    real = os.unlink

    def refuse(path, **more):
        if os.fspath(path).endswith("theirs"):
            raise PermissionError(path)
        real(path, **more)

    with monkeypatch.context() as patched:
        patched.setattr(os, "unlink", refuse)
        with pytest.raises(Problem, match="theirs can't be removed"):
            remove_state(local.state)
    done = local.run("down")
    assert done.code == 0 and not local.state.exists(), done.output


def test_nothing_up_is_told(local):
    for command in ("status", "smoke", "logs", "open"):
        done = local.run(command)
        assert done.code == 1 and "nothing is up: make local-up" in done.output, done.output
    assert "nothing was up" in local.run("down").output
