"""What is said where docker, compose or kind isn't as it should be: a program of that name on PATH says what docker would."""

import contextlib
import json
import os
import socket

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


@pytest.fixture
def faked(tmp_path):
    """Puts a program in front of PATH, and gives the PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()

    def put(**programs):
        for name, cases in programs.items():
            fake(folder, name, cases)
        return f"{folder}:{os.environ['PATH']}"

    return put


# A docker on which everything works, with compose, and with nothing running.
WORKS = f"""{FINE}
'compose version'*) echo v2.20 ;;
build*|ps*|volume*|network*) ;;
version*) echo amd64 ;;
"""


@contextlib.contextmanager
def free_ports():
    """The settings of ports that nobody gets by chance."""
    from stack.processes import hold_port

    with contextlib.ExitStack() as held:
        names = ("LOCAL_PORT", "LOCAL_REDIS_PORT", "LOCAL_GRAFANA_PORT")
        yield {name: str(held.enter_context(hold_port(0, name)).getsockname()[1]) for name in names}


@pytest.mark.parametrize(
    ("setting", "layers"), [("LOCAL_REDIS_IMAGE", ""), ("LOCAL_OTEL_IMAGE", "observability"), ("LOCAL_IMAGE", "")]
)
def test_an_image_for_another_processor_is_told(local, faked, setting, layers):
    path = faked(docker=f"'image inspect'*other*) echo arm64 ;;\n'image inspect'*) echo amd64 ;;\n{WORKS}")
    with free_ports() as ports:
        done = local.run("up", LOCAL_RUNTIME="compose", LOCAL_LAYERS=layers, PATH=path, **ports, **{setting: "other:1"})
    assert done.code == 1 and f"{setting}=other:1 is for arm64 and this machine is amd64" in done.output, done.output
    assert not local.state.exists()


def test_a_docker_that_does_not_say_its_processor_is_told(local, faked):
    path = faked(docker=f"version*) echo 'the daemon went away' >&2; exit 1 ;;\n'image inspect'*) echo amd64 ;;\n{WORKS}")
    with free_ports() as ports:
        done = local.run("up", LOCAL_RUNTIME="compose", PATH=path, **ports)
    assert done.code == 1 and "docker doesn't say what processor it is for: the daemon went away" in done.output, done.output
    assert not local.state.exists()


def started(local, runtime, **told):
    """As if that runtime had been started with this."""
    from stack.marker import Marker
    from stack.secret_files import SecretFiles
    from stack.settings import make_state

    make_state(local.state)
    SecretFiles(local.state / "secrets").make()
    Marker(local.state, runtime).write(**told)


COMPOSE = {
    "port": 18080, "redis_port": 16378, "concurrency": 1000, "request_timeout_ms": 3600000, "instances": 1, "layers": [],
}  # fmt: skip


def test_a_compose_down_that_fails_says_what_is_left_and_can_be_run_again(local, faked):
    started(local, "compose", **COMPOSE)
    left = "ps*Label*) ;;\nps*) echo confab-local-front-1 ;;\n'network ls'*) echo confab-local_front ;;"
    path = faked(docker=f"compose*down*) echo 'cannot stop container' >&2; exit 1 ;;\n{left}\n{WORKS}")
    for _ in range(2):
        done = local.run("down", PATH=path)
        assert done.code == 1 and "cannot stop container" in done.output, done.output
        assert "these are left: container confab-local-front-1, network confab-local_front" in done.output, done.output
        assert "nothing is left," not in done.output and local.state.exists()
    done = local.run("down", PATH=faked(docker="info*) echo 'Cannot connect' >&2; exit 1 ;;"))
    assert done.code == 1 and "can't be taken down: docker doesn't answer: start its daemon" in done.output, done.output
    done = local.run("down", PATH=faked(docker=f"compose*down*) ;;\n{WORKS}"))
    assert done.code == 0 and "compose is down, nothing is left" in done.output, done.output
    assert not local.state.exists()


def another(folder):
    """A docker that has the stack of a folder, and what it is told to do to it."""
    return f"ps*Label*confab.local.state*) echo {folder} ;;\ncompose*' up '*|compose*' down '*) echo \"$*\" >>{folder}.told ;;\n{WORKS}"


def test_a_stack_of_another_folder_is_named_and_left_alone(local, faked, tmp_path):
    theirs = tmp_path / "theirs"
    path = faked(docker=another(theirs))
    with free_ports() as ports:
        done = local.run("up", LOCAL_RUNTIME="compose", PATH=path, **ports)
    assert done.code == 1 and f"docker has the stack of {theirs}" in done.output, done.output
    assert not local.state.exists()
    # Also where a file of this folder says that there was one.
    for prepare in (lambda: None, lambda: started(local, "compose", **COMPOSE)):
        prepare()
        done = local.run("down", PATH=path)
        assert done.code == 0 and f"left alone: docker has the stack of {theirs}" in done.output, done.output
        assert not local.state.exists()
    assert not (tmp_path / "theirs.told").exists()


def test_a_stack_whose_folder_is_gone_is_taken_down(local, faked):
    done = local.run("down", PATH=faked(docker=another(local.state)))
    assert done.code == 0 and "compose is down, nothing is left" in done.output, done.output
    assert " down --volumes" in local.state.with_name("state.told").read_text()


def test_a_cluster_of_another_folder_is_named_and_left_alone(local, faked, tmp_path):
    told = tmp_path / "told"
    kind = f"'get clusters'*) echo confab-local ;;\n*) echo \"$*\" >>{told} ;;"
    path = faked(docker=WORKS, kubectl="", kind=kind)
    with free_ports() as ports:
        done = local.run("up", LOCAL_RUNTIME="kind", PATH=path, **ports)
    assert done.code == 1 and "kind has a cluster confab-local that isn't of" in done.output, done.output
    done = local.run("down", PATH=path)
    assert done.code == 0 and "left alone: kind has a cluster confab-local" in done.output, done.output
    assert not told.exists() and not local.state.exists()


def test_a_port_of_grafana_that_is_taken_is_told_where_grafana_is_asked_for(local, faked):
    path = faked(docker=f"'image inspect'*) echo arm64 ;;\n{WORKS}")
    with socket.socket() as taken, free_ports() as ports:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        ports["LOCAL_GRAFANA_PORT"] = str(taken.getsockname()[1])
        done = local.run("up", LOCAL_RUNTIME="compose", LOCAL_LAYERS="observability", PATH=path, **ports)
        assert done.code == 1 and f"port {ports['LOCAL_GRAFANA_PORT']} is taken by python" in done.output, done.output
        assert f"process {os.getpid()}" in done.output and "set LOCAL_GRAFANA_PORT to another one" in done.output, done.output
        done = local.run("up", LOCAL_RUNTIME="compose", PATH=path, **ports)
        assert "is for arm64" in done.output, "it goes on without the layer"
        ports["LOCAL_GRAFANA_PORT"] = ports["LOCAL_PORT"]
        done = local.run("up", LOCAL_RUNTIME="compose", LOCAL_LAYERS="observability", PATH=path, **ports)
    assert done.code == 1 and "LOCAL_PORT and LOCAL_GRAFANA_PORT are both" in done.output, done.output


@pytest.mark.parametrize("passes", [True, False])
def test_the_layer_of_tests_is_what_smoke_runs(local, faked, tmp_path, passes):
    started(local, "compose", **COMPOSE | {"layers": ["tests"], "instances": 3})
    told = tmp_path / "told"
    path = faked(docker=f"""*front.sock*) echo '{{"instances":[],"waiting":0}}' ;;
        *endpoint.sock*) echo '{{"target":"redis-primary:6378"}}' ;;
        compose*' run '*) echo "$LOCAL_INSTANCES $*" >{told}; exit {0 if passes else 1} ;;\n{WORKS}""")
    done = local.run("smoke", PATH=path)
    assert told.read_text().startswith("3 ") and "compose.tests.yaml run --rm --no-deps smoke" in told.read_text()
    assert done.code == (0 if passes else 1) and ("from within failed" in done.output) is not passes, done.output


def test_an_image_says_what_it_is_built_from():
    from conftest import ROOT
    from stack.docker import labels

    for folder in (ROOT, ROOT / "k8s-local" / "proxy"):
        version, revision = (given.partition("=")[2] for given in labels(folder)[1::2])
        assert f'version = "{version}"' in (folder / "Cargo.toml").read_text() and len(revision) == 40


def test_a_kind_delete_that_fails_says_what_is_left_and_can_be_run_again(local, faked):
    started(local, "kind", port=18080, instances=2)
    there = "'get clusters'*) echo confab-local ;;"
    path = faked(docker=WORKS, kubectl="", kind=f"delete*) echo 'in use' >&2; exit 1 ;;\n{there}")
    done = local.run("down", PATH=path)
    assert done.code == 1 and "the cluster confab-local is left; run it again" in done.output, done.output
    assert local.state.exists()
    done = local.run("down", PATH=faked(kind="delete*) ;;\n'get clusters'*) ;;"))
    assert done.code == 0 and "kind is down, nothing is left" in done.output and not local.state.exists(), done.output


@pytest.mark.parametrize("link", ["up", "down"])
@pytest.mark.parametrize("runtime", ["compose", "kind"])
def test_the_status_is_of_what_was_started_and_not_of_the_settings(local, faked, runtime, link):
    started(local, runtime, **COMPOSE)
    instance = '{"name":"a","state":"ready","requests":0,"pid":null,"revision":1,"reaches_redis":true,"frozen":false}'
    tells = f"""*front.sock*) echo '{{"instances":[{instance}],"waiting":0}}' ;;
        *endpoint.sock*) echo '{{"target":"redis-primary:6378"}}' ;;
        *redis-cli*) grep -q '^AUTH operator ' && echo master_link_status:{link} ;;"""
    path = faked(docker=f"{tells}\n{WORKS}", kubectl=tells, kind="")
    done = local.run("status", LOCAL_PORT="19999", LOCAL_INSTANCES="3", LOCAL_RUNTIME=runtime, PATH=path)
    expected = (0, "ready", "primary, replicated") if link == "up" else (1, "not ready", "primary, not replicated")
    assert done.code == expected[0], done.output
    assert f"local: {runtime}, {expected[1]}" in done.output and expected[2] in done.output, done.output
    assert "http://127.0.0.1:18080/" in done.output and "19999" not in done.output, done.output


def test_a_frozen_container_and_an_address_that_leads_nowhere_are_said(local, faked):
    started(local, "compose", **COMPOSE)
    tells = """*front.sock*) echo '{"instances":[],"waiting":0}' ;;
        *endpoint.sock*) echo '{"target":"127.0.0.1:1"}' ;;
        ps*status=paused*) echo confab-local-redis-primary-1 ;;"""
    done = local.run("status", PATH=faked(docker=f"{tells}\n{WORKS}"))
    assert done.code == 1 and "compose, not ready" in done.output, done.output
    for what in ("confab-local-redis-primary-1 is frozen", "Redis's address leads nowhere"):
        assert f"{what}: make local-up mends it" in done.output, done.output


def test_layers_are_composes_and_are_given_to_every_command(local, faked, tmp_path):
    done = local.run("up", LOCAL_LAYERS="observability")
    assert done.code == 1 and "layers are compose's" in done.output, done.output
    done = local.run("up", LOCAL_LAYERS="observability,music")
    assert done.code == 1 and "LOCAL_LAYERS=observability,music: allowed are observability, tests" in done.output, done.output
    started(local, "compose", **COMPOSE | {"layers": ["observability"]})
    told = tmp_path / "told"
    done = local.run("down", PATH=faked(docker=f'compose*down*) echo "$*" >{told} ;;\n{WORKS}'))
    assert done.code == 0 and "compose.yaml -f " in told.read_text() and "compose.observability.yaml down" in told.read_text()


@pytest.fixture
def by_hand(tmp_path, monkeypatch):
    """Chaos's hands on a stack of two containers, and what docker was told to do."""
    from stack.compose import Compose
    from stack.compose_chaos import ComposeStack
    from stack.settings import load

    folder, told = tmp_path / "bin", tmp_path / "told"
    folder.mkdir()
    fake(folder, "docker", f"""ps*paused*) test "$(tail -1 {told} 2>/dev/null)" = "pause one" && echo one; true ;;
        ps*) printf 'one\\ntwo\\n' ;;
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
        ("thaw 10.0.0.1:8080", ""),
    ],
)
def test_chaos_breaks_the_container_that_has_the_address(by_hand, command, told):
    stack, log = by_hand
    stack.front(command)
    assert (log.read_text() if log.exists() else "") == told


def test_a_container_is_frozen_and_thawed_once_however_often_it_is_told(by_hand):
    stack, log = by_hand
    for command in ("freeze", "freeze", "thaw", "thaw"):
        stack.front(f"{command} 10.0.0.1:8080")
    assert log.read_text() == "pause one\nunpause one\n"


def test_a_container_whose_end_fails_is_started_all_the_same(by_hand, tmp_path):
    from stack.problem import Problem

    stack, log = by_hand
    (tmp_path / "bin" / "docker").write_text((tmp_path / "bin" / "docker").read_text().replace("kill*|", "kill*) exit 1 ;;\n"))
    with pytest.raises(Problem, match="docker kill two failed"):
        stack.front("kill 10.0.0.2:8080")
    assert log.read_text() == "start two\n"


@pytest.mark.parametrize(
    ("command", "said"),
    [("cut", "the container of front wasn't reached"), ("kill 10.9.9.9:8080", "no container has the address 10.9.9.9")],
)
def test_what_chaos_cannot_do_to_a_container_is_no_fault(by_hand, command, said):
    from stack.problem import Problem

    stack, log = by_hand
    with pytest.raises(Problem, match=said):
        stack.front(command)
    with pytest.raises(Problem, match="the container of redis wasn't reached"):
        stack.supervisor("redis-away")
    assert not log.exists()


def test_chaos_in_containers_is_a_part_of_chaos():
    from stack import chaos, compose_chaos, kind_chaos

    assert set(compose_chaos.POSSIBLE) < set(chaos.names())
    assert set(kind_chaos.POSSIBLE) < set(chaos.names())


PODS = json.dumps({"items": [
    {"metadata": {"name": "confab-one"}, "status": {}},
    {"metadata": {"name": "confab-two"}, "status": {"podIP": "10.0.0.2"}},
]})  # fmt: skip


@pytest.fixture
def in_a_cluster(tmp_path, monkeypatch):
    """Chaos's hands on a stack of two pods, what kubectl was told to do, and how to have it fail."""
    from stack.kind import Kind
    from stack.kind_chaos import KindStack
    from stack.settings import load

    folder, told, fails = tmp_path / "bin", tmp_path / "told", tmp_path / "fails"
    folder.mkdir()
    fake(folder, "kubectl", f"""*) test -e {fails} && exit 1
        shift 4  # the context and the namespace
        case "$*" in "get pods"*) echo '{PODS}' ;; *) echo "$*" >>{told}; echo '{{}}' ;; esac ;;""")
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return KindStack(Kind(load({}))), told, fails


TELL = "-- /usr/local/bin/confab-proxy tell /run/control"


def test_chaos_in_a_cluster_is_what_kubectl_is_told(in_a_cluster):
    from stack import chaos, kind_chaos
    from stack.problem import Problem

    hands, told, fails = in_a_cluster
    hands.status = lambda: {"ready": True, "front": {"instances": [{"name": "10.0.0.2:8080", "state": "ready", "requests": 1}]}}
    for name, lines in {
        "drain": ["delete pod confab-two"],
        "roll": ["rollout restart deploy/confab", "rollout status deploy/confab --timeout=300s"],
        "redis-away": [f"exec deploy/redis {TELL}/endpoint.sock lead {target}" for target in ("127.0.0.1:1", "redis-primary:6378")],
        "drop-sockets": [f"exec deploy/front {TELL}/front.sock cut"],
    }.items():
        told.unlink(missing_ok=True)
        chaos.by_name(name)(chaos.Stack(hands, 0, 0))
        assert told.read_text().splitlines() == lines, name
    with pytest.raises(Problem, match="no pod has the address 10.0.0.9"):
        hands.front("stop 10.0.0.9:8080")
    fails.touch()
    for name in kind_chaos.POSSIBLE:
        with pytest.raises(Problem, match="failed|wasn't reached"):
            chaos.by_name(name)(chaos.Stack(hands, 0, 0))


def test_an_address_that_leads_nowhere_in_a_cluster_is_said(local, faked):
    started(local, "kind", port=18080, instances=1)
    tells = """*front.sock*) echo '{"instances":[],"waiting":0}' ;;
        *endpoint.sock*) echo '{"target":"127.0.0.1:1"}' ;;
        *redis-cli*) echo master_link_status:up ;;"""
    done = local.run("status", PATH=faked(docker=WORKS, kubectl=tells, kind=""))
    assert done.code == 1 and "Redis's address leads nowhere: make local-up mends it" in done.output, done.output
    done = local.run("chaos", "kill", PATH=faked())
    assert done.code == 1 and "kill can't be had on kind; there are: drain, roll, redis-away, drop-sockets" in done.output, done.output
