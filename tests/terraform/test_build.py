"""The image built in the same apply, by a `gcloud` that only writes down how it was called."""

import shutil
import tarfile

import pytest

import stacks
from stack import left_over

GCLOUD = """#!/bin/sh
# Writes down each call; answers as the real one would after a build.
printf '%s\\n' "$*" >>"$GCLOUD_CALLS"
case "$*" in
*"images describe"*)
    [ -e "$GCLOUD_BUILT" ] && echo sha256:0123
    exit 0 ;;
*"builds submit"*)
    [ -n "${GCLOUD_FAILS:-}" ] && { echo "ERROR: PERMISSION_DENIED: cloudbuild.builds.create" >&2; exit 1; }
    cp "$3" "$GCLOUD_SOURCE" ;;
*"print-access-token"*)
    [ -n "${GCLOUD_SIGNED_OUT:-}" ] && exit 1
    echo token ;;
esac
exit 0
"""


@pytest.fixture
def checkout(tmp_path):
    """A source tree small enough to follow."""
    folder = tmp_path / "checkout"
    (folder / "src").mkdir(parents=True)
    (folder / "Dockerfile").write_text("FROM scratch\n")
    (folder / "Cargo.toml").write_text("[package]\n")
    (folder / "src" / "main.rs").write_text("fn main() {}\n")
    (folder / "secret.txt").write_text("not a source\n")
    return folder


@pytest.fixture
def building(offered, checkout, tmp_path):
    """A stack that builds its image, and what its gcloud was asked."""
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "gcloud").write_text(GCLOUD)
    (tools / "gcloud").chmod(0o755)
    stack = offered(stacks.ROOT, path=tools, image=None, build={"source_dir": str(checkout)})
    stack.variables.pop("image")
    stack.environment |= {
        "GCLOUD_CALLS": str(tmp_path / "calls"),
        "GCLOUD_SOURCE": str(tmp_path / "source.tgz"),
        "GCLOUD_BUILT": str(tmp_path / "built"),
    }
    stack.tools = tools

    def calls(words):
        made = (tmp_path / "calls").read_text().splitlines() if (tmp_path / "calls").exists() else []
        return [call for call in made if words in call]

    stack.calls = calls
    stack.uploaded = lambda: sorted(tarfile.open(tmp_path / "source.tgz").getnames())
    return stack


def test_one_apply_builds_the_image_and_runs_it(building):
    building.apply()
    (submitted,) = building.calls("builds submit")
    image = building.outputs()["image"]
    assert f"--tag={image}" in submitted
    assert "--service-account=projects/demo-project/serviceAccounts/confab-build@" in submitted
    assert (
        "--project=demo-project" in submitted
        and "--gcs-source-staging-dir=gs://demo-project-confab-build/" in submitted
    )
    service = building.project.of("google_cloud_run_v2_service")[0]
    assert service["template"][0]["containers"][0]["image"] == image
    assert building.uploaded() == ["Cargo.toml", "Dockerfile", "src/main.rs"]


def test_nothing_is_built_again_while_no_source_changes(building, checkout):
    building.apply()
    (checkout / "secret.txt").write_text("changed, but not a source\n")
    building.assert_settled()
    building.apply(min_instances=3)
    assert len(building.calls("builds submit")) == 1


def test_a_changed_source_is_built_under_another_tag_and_deployed(building, checkout):
    building.apply()
    before = building.outputs()["image"]
    (checkout / "src" / "main.rs").write_text("fn main() { println!() }\n")
    actions = building.plan().actions
    assert actions == {
        "module.image[0].terraform_data.build": "replace",
        "module.service.google_cloud_run_v2_service.this": "update",
    }
    building.apply()
    assert building.outputs()["image"] != before
    assert len(building.calls("builds submit")) == 2


def test_an_image_that_was_pushed_before_the_apply_broke_off_isnt_built_again(building, tmp_path):
    (tmp_path / "built").touch()
    building.apply()
    assert building.calls("builds submit") == []


def test_every_create_may_fail_once_and_applying_again_ends_it(building):
    building.variables |= {"public": False, "invokers": ["group:team@example.com"], "egress": "direct"}
    building.apply_through_faults()
    assert len(building.calls("builds submit")) == 1
    building.try_destroy()
    building.project.sleep(3600)
    building.destroy()
    assert left_over(building.project) == []


def test_a_missing_gcloud_is_said_in_plain_words(building, tmp_path):
    # Only what the build script itself needs.
    bare = tmp_path / "bare"
    bare.mkdir()
    for tool in ("sh", "env", "mktemp", "tar", "gzip", "rm", "printf", "terraform"):
        if found := shutil.which(tool):
            (bare / tool).symlink_to(found)
    building.environment["PATH"] = str(bare)
    failed = building.try_apply()
    assert failed.code == 1 and "gcloud is not on the PATH" in failed.flat, failed.why
    assert building.project.of("google_cloud_run_v2_service") == []


def test_somebody_who_is_not_signed_in_is_told_to_sign_in(building):
    building.environment |= {"GCLOUD_FAILS": "1", "GCLOUD_SIGNED_OUT": "1"}
    failed = building.try_apply()
    assert failed.code == 1 and "gcloud auth login" in failed.flat, failed.why


def test_a_failed_build_names_the_missing_permission_and_is_repeated_by_the_next_apply(building):
    building.environment["GCLOUD_FAILS"] = "1"
    failed = building.try_apply()
    assert failed.code == 1 and "cloudbuild.builds.create" in failed.flat and "Who may deploy" in failed.flat, (
        failed.why
    )
    del building.environment["GCLOUD_FAILS"]
    building.apply()
    building.assert_settled()


def test_the_build_account_has_no_right_on_the_project(building):
    building.apply()
    account = f"serviceAccount:{building.outputs()['build_account']}"
    grants = {
        (key.partition(" ")[0], grant["role"])
        for key, grant in building.project.objects.items()
        if grant.get("member") == account and "role" in grant
    }
    assert ("google_artifact_registry_repository_iam_member", "roles/artifactregistry.writer") in grants
    assert not [kind for kind, _ in grants if kind == "google_project_iam_member"]


def test_a_checkout_without_a_dockerfile_is_refused_while_planning(building, checkout):
    (checkout / "Dockerfile").unlink()
    refused = building.try_plan()
    assert refused.code == 1 and "no Dockerfile" in refused.flat, refused.why


def test_the_service_refers_to_the_digest_where_it_is_asked_to(building, checkout):
    building.apply(build={"source_dir": str(checkout), "resolve_digest": True})
    assert "@sha256:" in building.outputs()["image"]
