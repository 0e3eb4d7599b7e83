"""The stand-in itself: it has to refuse what the provider and the API refuse, or every other test proves little."""

import pytest

from stack import left_over
from standin.catalogue import NEW, OLD, google_schema, used
from standin.google import RULES

NETWORK = """
resource "google_compute_network" "net" {
  name                    = "net"
  auto_create_subnetworks = false
  depends_on              = [google_project_service.all]
}
"""
REDIS = (
    NETWORK
    + """
resource "google_redis_instance" "redis" {
  name               = "rooms"
  tier               = "STANDARD_HA"
  memory_size_gb     = 1
  authorized_network = google_compute_network.net.id
  auth_enabled       = true
}
"""
)
CONNECTOR = (
    NETWORK
    + """
resource "google_vpc_access_connector" "way" {
  name          = "way"
  network       = google_compute_network.net.name
  ip_cidr_range = "10.8.0.0/28"
  min_instances = 2
  max_instances = 3
}
"""
)
ACCOUNT = """
resource "google_service_account" "runner" {
  account_id = "runner-account"
  depends_on = [google_project_service.all]
}
"""
JOB = (
    ACCOUNT
    + """
resource "google_cloud_run_v2_job" "task" {
  name                = "task"
  location            = "us-central1"
  deletion_protection = false
  template {
    template {
      service_account = google_service_account.runner.email
      max_retries     = 0
      containers {
        image = "example.com/app:1"
        resources {
          limits = { cpu = "1", memory = "512Mi" }
        }
      }
    }
  }
}
resource "google_cloud_scheduler_job" "clock" {
  name             = "clock"
  region           = "us-central1"
  schedule         = "*/5 * * * *"
  attempt_deadline = "30s"
  http_target {
    http_method = "POST"
    uri         = "https://run.googleapis.com/v2/${google_cloud_run_v2_job.task.id}:run"
    oauth_token {
      service_account_email = google_service_account.runner.email
      scope                 = "https://www.googleapis.com/auth/cloud-platform"
    }
  }
}
"""
)
SECRET = (
    ACCOUNT
    + """
resource "google_secret_manager_secret" "key" {
  secret_id = "key"
  replication {
    auto {}
  }
  depends_on = [google_project_service.all]
}
resource "google_secret_manager_secret_version" "key" {
  secret                 = google_secret_manager_secret.key.id
  secret_data_wo         = "hidden-words"
  secret_data_wo_version = "1"
}
resource "google_secret_manager_secret_iam_member" "key" {
  secret_id = google_secret_manager_secret.key.id
  role      = "roles/secretmanager.secretAccessor"
  member    = google_service_account.runner.member
}
"""
)
SERVICE = (
    SECRET
    + """
resource "google_cloud_run_v2_service" "app" {
  name                = "app"
  location            = "europe-west1"
  deletion_protection = false
  scaling {
    max_instance_count = 3
  }
  template {
    service_account = google_service_account.runner.email
    containers {
      image = "example.com/app:1"
      env {
        name = "KEY"
        value_source {
          secret_key_ref {
            secret  = "key"
            version = "1"
          }
        }
      }
    }
  }
  depends_on = [google_secret_manager_secret_version.key, google_secret_manager_secret_iam_member.key]
}
"""
)


@pytest.mark.parametrize("text", [REDIS, CONNECTOR, SERVICE], ids=["redis", "connector", "service"])
def test_an_apply_settles_and_a_destroy_leaves_nothing(text_stack, text):
    stack = text_stack(text)
    stack.apply()
    stack.assert_settled()
    if "connector" in text:
        # The leftover firewall rule is the module's business; here it is waited for.
        stack.terraform("destroy", "-auto-approve", f"-state={stack.scratch}/terraform.tfstate")
        stack.project.sleep(60)
    stack.destroy()
    assert left_over(stack.project) == []


@pytest.mark.parametrize(
    "old, new, words",
    [
        ("memory_size_gb ", "memory_size_gbb", 'An argument named "memory_size_gbb" is not expected here'),
        ("  memory_size_gb     = 1\n", "", 'The argument "memory_size_gb" is required'),
        ("= 1\n", '= "lots"\n', "a number is required"),
        ('"STANDARD_HA"', '"GOLD"', "expected tier to be one of"),
        ("= 1\n", "= 301\n", "expected memory_size_gb to be in the range (1 - 300)"),
        ('"rooms"', '"Rooms"', "doesn't match regexp"),
        ("auth_enabled       = true", "replica_count = 2\n  tier_ = 1", "An argument named"),
        ("auth_enabled       = true", 'host = "10.0.0.1"', "Value for unconfigurable attribute"),
    ],
)
def test_a_wrong_argument_is_refused_at_plan_time(text_stack, old, new, words):
    stack = text_stack(REDIS.replace(old, new))
    refused = stack.try_plan()
    assert refused.code == 1 and words in refused.flat, refused.why


@pytest.mark.parametrize(
    "text, old, new, words",
    [
        (CONNECTOR, 'ip_cidr_range = "10.8.0.0/28"', 'ip_cidr_range = "10.8.0.0/24"', "must be an unused private /28"),
        (CONNECTOR, "min_instances = 2", "min_instances = 3", "must be less than max_instances"),
        (
            CONNECTOR,
            "google_compute_network.net.name",
            '"other"\n depends_on = [google_project_service.all]',
            "Error 404",
        ),
        (REDIS, "auth_enabled       = true", 'redis_configs = { maxmemory = "1" }', "has no parameter maxmemory"),
        (REDIS, "auth_enabled       = true", 'connect_mode = "PRIVATE_SERVICE_ACCESS"', "private services access"),
        (JOB, '"*/5 * * * *"', '"every 5 minutes"', "is no crontab line"),
        (JOB, '"30s"', '"5s"', "attempt_deadline 5s must be between"),
        (JOB, '"https://run.googleapis.com/', '"https://chat.example.com/', "host under googleapis.com"),
        (JOB, 'cpu = "1"', 'cpu = "0.5"', "a job's cpu is 1 at least"),
        (JOB, "max_retries     = 0", 'timeout = "700000s"', "timeout 700000s must be between"),
        (SERVICE, "google_secret_manager_secret_version.key, ", "", "has no version"),
        (SERVICE, ", google_secret_manager_secret_iam_member.key]", "]", "permission denied on secret"),
        (SERVICE, 'version = "1"', 'version = "7"', "has no version 7"),
        (
            SERVICE,
            'image = "example.com/app:1"',
            'image = "example.com/app:1"\n env {\n name = "PORT"\n value = "1"\n}',
            "reserved names",
        ),
        (
            SERVICE,
            "google_service_account.runner.email",
            '"ghost-account@demo-project.iam.gserviceaccount.com"',
            "does not exist",
        ),
    ],
)
def test_the_api_refuses_what_it_would_refuse(text_stack, text, old, new, words):
    assert old in text
    stack = text_stack(text.replace(old, new))
    if "depends_on" in text and words in ("has no version", "permission denied on secret"):
        # Without the explicit order the two race; hold back what the service should have waited for.
        stack.project.faults = {
            "google_secret_manager_secret_version"
            if "version" in words
            else "google_secret_manager_secret_iam_member": 1
        }
    refused = stack.try_apply()
    assert refused.code == 1 and words in refused.flat, refused.why


def test_nothing_is_made_before_its_api_is_enabled(text_stack):
    stack = text_stack(REDIS.replace("google_project_service.all", 'google_project_service.all["run"]'))
    stack.edit('"compute", "vpcaccess", "redis", ', "")
    refused = stack.try_apply()
    assert refused.code == 1 and "SERVICE_DISABLED" in refused.flat, refused.why


def test_a_network_waits_for_the_connectors_leftover_rule(text_stack):
    stack = text_stack(CONNECTOR)
    stack.apply()
    refused = stack.try_destroy()
    assert refused.code == 1 and "resourceInUseByAnotherResource" in refused.flat, refused.why
    stack.project.sleep(60)
    stack.destroy()


@pytest.mark.parametrize(
    "text, old, new, address, action",
    [
        (REDIS, "memory_size_gb     = 1", "memory_size_gb = 2", "google_redis_instance.redis", "update"),
        (REDIS, '"STANDARD_HA"', '"BASIC"', "google_redis_instance.redis", "replace"),
        (REDIS, "auth_enabled       = true", "auth_enabled = false", "google_redis_instance.redis", "update"),
        (CONNECTOR, "max_instances = 3", "max_instances = 4", "google_vpc_access_connector.way", "update"),
        (CONNECTOR, "10.8.0.0/28", "10.9.0.0/28", "google_vpc_access_connector.way", "replace"),
        (SERVICE, "app:1", "app:2", "google_cloud_run_v2_service.app", "update"),
        (
            SERVICE,
            'secret_data_wo_version = "1"',
            'secret_data_wo_version = "2"',
            "google_secret_manager_secret_version.key",
            "replace",
        ),
        (SERVICE, "hidden-words", "other-words", None, None),
        (JOB, "app:1", "app:2", "google_cloud_run_v2_job.task", "update"),
        (JOB, '"clock"\n  region', '"hands"\n  region', "google_cloud_scheduler_job.clock", "replace"),
        (JOB, '"*/5 * * * *"', '"*/6 * * * *"', "google_cloud_scheduler_job.clock", "update"),
    ],
)
def test_a_change_is_made_in_place_or_by_a_new_object_as_in_the_provider(text_stack, text, old, new, address, action):
    stack = text_stack(text)
    stack.apply()
    stack.edit(old, new)
    plan = stack.plan()
    assert plan.actions == ({address: action} if address else {}), plan.outcome.output


def test_a_service_without_limits_of_its_own_never_settles(text_stack):
    stack = text_stack(SERVICE.replace("  scaling {\n    max_instance_count = 3\n  }\n", ""))
    stack.apply()
    assert stack.plan().actions == {"google_cloud_run_v2_service.app": "update"}


def test_protection_refuses_a_destroy_and_says_how_to_lift_it(text_stack):
    stack = text_stack(REDIS.replace("auth_enabled       = true", "deletion_protection = true"))
    stack.apply()
    refused = stack.try_destroy()
    assert refused.code == 1 and "without setting deletion_protection=false" in refused.flat, refused.why
    stack.edit("deletion_protection = true", "deletion_protection = false")
    stack.apply()
    stack.destroy()


def test_a_first_revision_that_fails_taints_the_service(text_stack):
    stack = text_stack(SERVICE)
    stack.project.bad_images = ["example.com/app:1"]
    refused = stack.try_apply()
    assert refused.code == 1 and "failed to start and listen" in refused.flat, refused.why
    stack.edit("app:1", "app:2")
    assert stack.plan().actions == {"google_cloud_run_v2_service.app": "replace"}


def test_what_is_write_only_reaches_the_api_and_never_the_state(text_stack):
    stack = text_stack(SECRET)
    stack.apply()
    assert stack.project.payloads == {"projects/demo-project/secrets/key/versions/1": "hidden-words"}
    assert "hidden-words" not in (stack.scratch / "terraform.tfstate").read_text()


def test_an_existing_object_is_adopted_by_import(text_stack):
    first = text_stack(REDIS)
    first.apply()
    second = text_stack(
        REDIS
        + """
import {
  to = google_redis_instance.redis
  id = "projects/demo-project/locations/europe-west1/instances/rooms"
}
import {
  to = google_compute_network.net
  id = "projects/demo-project/global/networks/net"
}
""",
        project=first.project,
    )
    second.project.forget("google_project_service", lambda _service: True)
    second.apply()
    second.assert_settled()
    assert first.project.order("create").count("google_redis_instance") == 1


def test_an_object_that_exists_already_is_a_conflict(text_stack):
    first = text_stack(NETWORK)
    first.apply()
    second = text_stack(NETWORK, project=first.project)
    refused = second.try_apply()
    assert refused.code == 1 and "alreadyExists" in refused.flat, refused.why


def test_an_object_that_somebody_deleted_is_made_again(text_stack):
    stack = text_stack(NETWORK)
    stack.apply()
    stack.project.forget("google_compute_network", lambda _network: True)
    assert stack.plan().actions == {"google_compute_network.net": "create"}


def test_exactly_the_resources_that_the_modules_use_have_hand_written_rules():
    assert used()[0] == set(RULES)


@pytest.mark.parametrize("version", [NEW, OLD])
def test_the_bindings_describe_the_version_that_they_are_served_as(version):
    assert google_schema(version)["version"] == version


def test_every_rule_names_an_argument_that_the_provider_has():
    resources = google_schema()["resources"]
    unknown = []
    for type_name, rules in RULES.items():
        grouped = [path for group in (*rules.conflicts, *rules.exactly_one) for path in group]
        for path in [*rules.force_new, *rules.defaults, *rules.enums, *rules.patterns, *rules.ranges, *grouped]:
            if not _exists(resources[type_name], path.split(".")):
                unknown.append(f"{type_name}: {path}")
    assert unknown == []


def _exists(block, parts):
    head, rest = parts[0], [part for part in parts[1:] if part != "*"]
    if head in block["blocks"]:
        return not rest or _exists(block["blocks"][head]["block"], rest)
    return head in block["attributes"]
