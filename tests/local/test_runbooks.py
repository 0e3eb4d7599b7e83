"""What docs/operations/ tells somebody to type, to look at and to change is there: tried on the program, or looked up."""

import re
import shlex
import subprocess
import time
import urllib.error
import urllib.request

import pytest
import yaml
from conftest import ROOT, WITHIN_S
from stack.processes import hold_port

PAGES = {path.name: path.read_text() for path in sorted((ROOT / "docs" / "operations").glob("*.md"))}
SPAN = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
TYPED = re.compile(r"^    (?:\$ )?(\S.*)$", re.MULTILINE)
TOKEN = "an-operations-token"

# Cut at what a shell takes for itself.
SHELL = re.compile(r"\s(?:\||>>?|#)\s?.*")


def typed():
    """(page, text) of everything that is set as something to type."""
    return [(page, text) for page, body in PAGES.items() for text in [*SPAN.findall(body), *TYPED.findall(body)]]


def commands(program):
    """The command lines of one program, without what a pipe does with them."""
    found = []
    for page, text in typed():
        for part in re.split(r"\s\|\s", text):
            part = SHELL.sub("", part).removeprefix("* * * * * ")
            if part.startswith(f"{program} "):
                found.append((page, part.replace("…", "")))
    assert found, f"no page has a command line of {program}"
    return sorted(set(found))


@pytest.fixture(scope="module")
def program(built):
    from stack.settings import load
    from stack.supervisor import programs

    return programs(load({"LOCAL_PROFILE": "dev"}))[0]


@pytest.mark.parametrize("page, line", commands("confab"), ids=lambda value: value)
def test_every_command_line_of_the_program_is_one_that_it_takes(program, page, line):
    arguments = shlex.split(line.replace("[", "").replace("]", ""))[1:]
    if arguments[0] == "COMMAND":
        arguments[0] = "probe"
    # What comes before --help is read first, and refused first.
    done = subprocess.run([program, *arguments, "--help"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_an_option_that_there_is_none_of_would_be_seen(program):
    done = subprocess.run([program, "probe", "--nonsense", "--help"], capture_output=True, text=True, check=False)
    assert done.returncode == 64


@pytest.fixture
def instance(program, tmp_path):
    """An instance with an operations port that wants a token: (process, {"HOST": port, "OPS_PORT": port})."""
    held = [hold_port(0, "the port"), hold_port(0, "the operations port")]
    ports = dict(zip(("HOST", "OPS_PORT"), (one.getsockname()[1] for one in held), strict=True))
    environment = {"PORT": str(ports["HOST"]), "CONFAB__OPS__PORT": str(ports["OPS_PORT"]), "CONFAB__OPS__TOKEN": TOKEN}
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen([program], env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    deadline = time.monotonic() + WITHIN_S
    while subprocess.run([program, "health"], env=environment, capture_output=True, check=False).returncode != 0:
        assert process.poll() is None and time.monotonic() < deadline, (tmp_path / "log").read_text()
        time.sleep(0.1)
    yield process, ports
    process.kill()
    process.wait()
    for one in held:
        one.close()


def test_every_request_is_answered_and_drain_ends_the_instance(instance):
    process, ports = instance
    asked = set()
    for _, line in commands("curl"):
        words = shlex.split(line)
        method = words[words.index("-X") + 1] if "-X" in words else "GET"
        data = words[words.index("--data") + 1] if "--data" in words else None
        (url,) = [word for word in words if re.match(r"https?://|/[a-z]", word)]
        asked.add((method, re.sub(r"https?://[^/]+", "", url), data, "OPS_PORT" if "OPS_PORT" in line else None))
    # Paths alone, such as `/rooms`, are of the one port or of the other.
    asked |= {("GET", text, None, None) for _, text in typed() if re.fullmatch(r"/[a-z]+(/[a-z]+)?", text)}
    assert ("POST", "/drain", None, "OPS_PORT") in asked and ("GET", "/rooms", None, None) in asked
    for method, path, data, where in sorted(asked, key=lambda one: (one[1] == "/drain", str(one))):
        answers = [answer(ports[port], method, path, data) for port in ([where] if where else ports)]
        assert any(status in (200, 202) for status in answers), (method, path, answers)
    assert process.wait(WITHIN_S) == 0


def answer(port, method, path, data):
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{path}",
        method=method,
        data=data.encode() if data else None,
        headers={"Authorization": f"Bearer {TOKEN}"},
    )
    try:
        with urllib.request.urlopen(request, timeout=20) as told:
            return told.status
    except urllib.error.HTTPError as error:
        return error.code


def test_every_setting_and_variable_is_there():
    settings = set(re.findall(r"^\| `([a-z_.]+)` \|", (ROOT / "docs/settings.md").read_text(), re.M))
    variables = (ROOT / "terraform/variables.tf").read_text()
    named = set(re.findall(r'^variable "([a-z_]+)"', variables, re.M))
    keys = set(re.findall(r"^\s+([a-z_]+)\s*= optional\(", variables, re.M)) | {"runbooks"}
    # In the body of /health/ready.
    fields = {"store.reachable", "store.full_percent"}
    files = {path.name for folder in ("k8s-local", "terraform", "tests") for path in (ROOT / folder).rglob("*.*")}
    wrong = []
    for page, text in typed():
        text = re.sub(r" = .*", "", text)
        if not re.fullmatch(r"[a-z][a-z_]*(\.[a-z_]+)+", text) or text in settings | fields | files | {"confab.probe"}:
            continue
        head, key = text.split(".", 1)
        if head not in named or key not in keys:
            wrong.append((page, text))
    assert wrong == []
    for page, text in typed():
        if found := re.fullmatch(r"([a-z][a-z_]*) = (\S+)", text):
            assert found[1] in named, (page, text)


def test_every_panel_that_a_page_sends_to_is_on_a_dashboard():
    pages = yaml.safe_load((ROOT / "terraform/modules/observability/pages.yaml").read_text())
    titles = {panel["title"] for page in pages for panel in page["panels"]} | {"Redis"}
    for page, body in PAGES.items():
        for named in re.findall(r"(?<![*\w])\*([A-Z][^*]*)\*(?!\*)", body):
            named = " ".join(named.split())
            if named not in ("Page", "Ticket"):
                assert any(title.startswith(named) for title in titles), (page, named)


def test_every_line_of_the_log_that_a_page_names_is_logged():
    sources = "\n".join(path.read_text() for path in (ROOT / "src").rglob("*.rs"))
    quoted = {text for _, text in typed() if re.fullmatch(r"[A-Za-z']+( [A-Za-z']+){2,}", text)}
    lines = {text for text in quoted if not text.startswith(("confab", "gcloud", "terraform", "make", "kubectl"))}
    assert len(lines) >= 5, lines
    assert {text for text in lines if text not in sources} == set()


def test_every_target_of_make_is_there():
    makefile = (ROOT / "Makefile").read_text()
    for page, line in commands("make"):
        assert re.search(rf"^{re.escape(line.split()[1])}:", makefile, re.M), (page, line)
