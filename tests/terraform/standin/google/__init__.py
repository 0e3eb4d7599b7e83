"""What the google provider and Google's APIs enforce beyond the published schema.

Owns: per resource the defaults, what is ForceNew, enums, name rules, the API's ordering and its answers.
Must not know: the modules under test. May use: rules, values, project.

Sources: the provider's documentation and behaviour (7.45 and 8.7), and the APIs' reference pages. A resource that is
used without an entry here still plans and applies, but nothing is checked beyond its schema.
"""

from ..rules import Rules
from .connector import CONNECTOR
from .identity import ACCOUNT, member_rules
from .image import BUCKET, REPOSITORY, data_image
from .job import JOB, SCHEDULER_JOB
from .network import GLOBAL_ADDRESS, NETWORK, PEERING, SUBNETWORK
from .observability import ALERT, CHANNEL, DASHBOARD, UPTIME
from .redis import REDIS
from .secret import SECRET, SECRET_VERSION
from .service import SERVICE

PROJECT_SERVICE = Rules(
    identity="{project}/{service}",
    force_new=("project", "service"),
    defaults={"disable_on_destroy": False},
    patterns={"service": r"[a-z0-9.-]+\.googleapis\.com"},
    idempotent=True,
    survives=lambda values: not values["disable_on_destroy"],
)

RULES = {
    "google_project_service": PROJECT_SERVICE,
    "google_compute_network": NETWORK,
    "google_compute_subnetwork": SUBNETWORK,
    "google_compute_global_address": GLOBAL_ADDRESS,
    "google_service_networking_connection": PEERING,
    "google_vpc_access_connector": CONNECTOR,
    "google_redis_instance": REDIS,
    "google_service_account": ACCOUNT,
    "google_project_iam_member": member_rules("project", "cloudresourcemanager.googleapis.com"),
    "google_secret_manager_secret": SECRET,
    "google_secret_manager_secret_version": SECRET_VERSION,
    "google_secret_manager_secret_iam_member": member_rules(
        "secret_id", "secretmanager.googleapis.com", exists="google_secret_manager_secret"
    ),
    "google_artifact_registry_repository": REPOSITORY,
    "google_artifact_registry_repository_iam_member": member_rules(
        "repository", "artifactregistry.googleapis.com", exists="google_artifact_registry_repository"
    ),
    "google_storage_bucket": BUCKET,
    "google_storage_bucket_iam_member": member_rules(
        "bucket", "storage.googleapis.com", exists="google_storage_bucket"
    ),
    "google_cloud_run_v2_service": SERVICE,
    "google_cloud_run_v2_service_iam_member": member_rules(
        "name", "run.googleapis.com", exists="google_cloud_run_v2_service"
    ),
    "google_cloud_run_v2_job": JOB,
    "google_cloud_run_v2_job_iam_member": member_rules("name", "run.googleapis.com", exists="google_cloud_run_v2_job"),
    "google_cloud_scheduler_job": SCHEDULER_JOB,
    "google_monitoring_alert_policy": ALERT,
    "google_monitoring_dashboard": DASHBOARD,
    "google_monitoring_notification_channel": CHANNEL,
    "google_monitoring_uptime_check_config": UPTIME,
}

DATA = {"google_artifact_registry_docker_image": data_image}
