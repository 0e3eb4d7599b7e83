"""What must stay hidden stays hidden."""

import json

import pytest

import stacks

PASSWORD = "auth_string"


@pytest.mark.parametrize("offer", [stacks.ROOT, stacks.PRODUCTION], ids=lambda offer: offer.name)
def test_no_secret_is_printed_by_plan_apply_or_output(offered, offer):
    stack = offered(offer)
    printed = [stack.apply().output]
    secrets = {stack.project.of("google_redis_instance")[0][PASSWORD], *stack.project.payloads.values()}
    # The certificates are public; they only travel as a secret.
    secrets = {secret for secret in secrets if "CERTIFICATE" not in secret}
    assert len(secrets) >= 2
    printed.append(stack.terraform("output", f"-state={stack.scratch}/terraform.tfstate").output)
    changed = stack.plan(**({"redis": {"auth": "rotating"}} if offer is stacks.ROOT else {"redis_auth": "rotating"}))
    printed.append(changed.outcome.output)
    printed.append(stack.try_plan(token_keys=["2", "1"]).output)
    printed.append(json.dumps(stack.outputs()))
    for text in printed:
        assert not [secret for secret in secrets if secret in text]


def test_the_container_reads_secrets_from_files_and_never_from_its_environment(offered):
    stack = offered(stacks.ROOT)
    stack.apply()
    container = stack.project.of("google_cloud_run_v2_service")[0]["template"][0]["containers"][0]
    redis = stack.project.of("google_redis_instance")[0]
    environment = {variable["name"]: variable["value"] for variable in container["env"]}
    assert redis[PASSWORD] not in json.dumps(environment)
    assert not [name for name in environment if name.endswith(("PASSWORD", "KEY", "KEYS"))]
    mounts = [mount["mount_path"] for mount in container["volume_mounts"]]
    for name, value in environment.items():
        if name.endswith("_FILE"):
            assert any(value.startswith(mount + "/") for mount in mounts), name


def test_the_account_of_the_service_may_read_its_secrets_and_nothing_else(offered):
    stack = offered(stacks.ROOT)
    stack.apply()
    account = stack.outputs()["service_account"]
    grants = [
        (key.partition(" ")[0], grant["role"])
        for key, grant in stack.project.objects.items()
        if grant.get("member") == f"serviceAccount:{account}" and "role" in grant
    ]
    assert set(grants) == {("google_secret_manager_secret_iam_member", "roles/secretmanager.secretAccessor")}
    mounted = {
        volume["secret"][0]["secret"]
        for volume in stack.project.of("google_cloud_run_v2_service")[0]["template"][0]["volumes"]
    }
    assert len(grants) == len(mounted)
