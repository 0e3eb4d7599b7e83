"""What is said where docker, compose or kind isn't as it should be: a program of that name on PATH says what docker would."""

import os

import pytest

# What `docker` answers to its arguments, as a case of a shell script.
FINE = "info*) echo 20.10 ;;"


def fake(folder, name, cases):
    script = folder / name
    script.write_text(f'#!/bin/sh\ncase "$*" in\n{cases}\n*) echo "unknown: $*" >&2; exit 1 ;;\nesac\n')
    script.chmod(0o755)


@pytest.mark.parametrize(
    ("runtime", "docker", "compose", "said"),
    [
        ("compose", None, None, "docker isn't installed"),
        ("compose", "info*) echo 'permission denied while trying to connect' >&2; exit 1 ;;", None, "add it to the group docker"),
        ("compose", "info*) echo 'Cannot connect to the Docker daemon' >&2; exit 1 ;;", None, "start its daemon"),
        ("compose", "info*) echo 'no space left on device' >&2; exit 1 ;;", None, "docker's disk is full"),
        ("compose", FINE, None, "install its plugin"),
        ("compose", FINE, "version*) echo 1.21.0 ;;", "docker-compose 1.21.0 is too old"),
        ("kind", FINE, None, "kind isn't installed"),
    ],
)
def test_what_is_missing_is_told_in_one_line(local, tmp_path, runtime, docker, compose, said):
    folder = tmp_path / "bin"
    folder.mkdir()
    for program in ("env", "python3", "sh"):
        (folder / program).symlink_to(os.path.realpath(next(
            found for place in os.environ["PATH"].split(":") if os.access(found := f"{place}/{program}", os.X_OK)
        )))  # fmt: skip
    if docker:
        fake(folder, "docker", docker)
    if compose:
        fake(folder, "docker-compose", compose)
    done = local.run("up", LOCAL_RUNTIME=runtime, PATH=str(folder))
    assert done.code == 1 and done.output.startswith(f"local: LOCAL_RUNTIME={runtime}: ") and said in done.output, done.output
    assert len(done.output.strip().splitlines()) == 1 and not local.state.exists()


def test_an_image_for_another_processor_is_told(local, tmp_path, monkeypatch):
    from stack import docker
    from stack.problem import Problem

    folder = tmp_path / "bin"
    folder.mkdir()
    fake(folder, "docker", "'image inspect'*) echo arm64 ;;\nversion*) echo amd64 ;;")
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    with pytest.raises(Problem, match="is for arm64 and this machine is amd64"):
        docker.check_processor("LOCAL_REDIS_IMAGE", "redis:7.2")


@pytest.fixture
def by_hand(tmp_path, monkeypatch):
    """Chaos's hands on a stack of two containers, and what docker was told to do."""
    from stack.compose import Compose
    from stack.compose_chaos import ComposeStack
    from stack.settings import load

    folder, told = tmp_path / "bin", tmp_path / "told"
    folder.mkdir()
    fake(folder, "docker", f"""ps*) printf 'one\\ntwo\\n' ;;
        inspect*one) echo '10.0.0.1 10.1.0.1 ' ;;
        inspect*two) echo '10.0.0.2 10.1.0.2 ' ;;
        pause*|unpause*|kill*|stop*|start*) echo "$*" >>{told} ;;""")
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return ComposeStack(Compose(load({}))), told


@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("kill 10.0.0.2:8080", "kill two\nstart two\n"),
        ("stop 10.1.0.1:8080", "stop --time 10 one\nstart one\n"),
        ("freeze 10.0.0.1:8080", "pause one\n"),
        ("thaw 10.0.0.1:8080", "unpause one\n"),
    ],
)
def test_chaos_breaks_the_container_that_has_the_address(by_hand, command, told):
    stack, log = by_hand
    stack.front(command)
    assert log.read_text() == told


def test_chaos_in_containers_is_a_part_of_chaos():
    from stack import chaos, compose_chaos

    assert set(compose_chaos.POSSIBLE) < set(chaos.names())
