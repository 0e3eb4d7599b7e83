"""terraform/deploy_roles.py: what is missing before an apply, asked of a loopback stand-in for the Resource Manager."""

import json
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "terraform" / "deploy_roles.py"


@pytest.fixture
def asked():
    """Runs the script against a project in which `denied` is missing; tells how it ended and what it asked for."""
    seen = {}

    class Answer(BaseHTTPRequestHandler):
        def do_POST(self):
            seen["path"] = self.path
            seen["token"] = self.headers["Authorization"]
            wanted = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["permissions"]
            seen["permissions"] = wanted
            body = json.dumps({"permissions": [p for p in wanted if p not in seen["denied"]]}).encode()
            self.send_response(seen.get("status", 200))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()

    def ask(*arguments, denied=(), status=200):
        seen.update(denied=denied, status=status)
        environment = {
            "GOOGLE_OAUTH_ACCESS_TOKEN": "a-token",
            "GOOGLE_RESOURCE_MANAGER_CUSTOM_ENDPOINT": f"http://127.0.0.1:{server.server_port}/v1/",
        }
        done = subprocess.run(
            [sys.executable, SCRIPT, *arguments],
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        return done, seen

    yield ask
    server.shutdown()
    server.server_close()


def test_whoever_has_every_permission_may_go_ahead(asked):
    done, seen = asked("demo-project")
    assert done.returncode == 0, done.stderr
    assert "the apply may go ahead" in done.stdout
    assert seen["path"] == "/v1/projects/demo-project:testIamPermissions"
    assert seen["token"] == "Bearer a-token"


def test_a_missing_permission_is_named_with_the_role_that_has_it(asked):
    done, _ = asked("demo-project", denied=["redis.instances.create"])
    assert done.returncode == 1
    assert "missing redis.instances.create: grant roles/redis.admin" in done.stdout


def test_only_what_the_switches_need_is_asked_for(asked):
    _, seen = asked("demo-project", "--direct")
    assert not any(p.startswith(("vpcaccess.", "cloudbuild.", "monitoring.")) for p in seen["permissions"])
    assert "cloudscheduler.jobs.create" not in seen["permissions"]
    _, seen = asked("demo-project", "--observability", "--prober")
    assert "cloudscheduler.jobs.create" in seen["permissions"]
    _, seen = asked("demo-project", "--build", "--observability")
    assert {"vpcaccess.connectors.create", "cloudbuild.builds.create", "monitoring.alertPolicies.create"} <= set(
        seen["permissions"]
    )


def test_an_answer_that_is_no_answer_is_exit_code_2(asked):
    done, _ = asked("demo-project", status=403)
    assert done.returncode == 2
    assert "Google answered 403" in done.stderr
    assert "a-token" not in done.stdout + done.stderr


def test_the_table_in_the_readme_is_the_scripts_own():
    table = subprocess.run([sys.executable, SCRIPT, "--table"], capture_output=True, text=True, check=True).stdout
    readme = (SCRIPT.parent / "README.md").read_text()
    assert readme.split("<!-- roles -->\n")[1].split("<!-- /roles -->")[0] == table
