"""An apply or a destroy that fails half-way is finished by the next one."""

import pytest

import stacks
from stack import left_over

BAD_IMAGE = "us-docker.pkg.dev/elsewhere/confab/broken@sha256:" + "00" * 32


# With the stack in test_build.py, these hold every kind of resource; the plain root stack is a part of the last.
@pytest.mark.parametrize(
    "offer", [stacks.PRODUCTION, stacks.PRIVATE_ACCESS, stacks.WATCHED], ids=lambda offer: offer.name
)
def test_every_create_may_fail_once_and_applying_again_ends_it(offered, offer):
    stack = offered(offer)
    stack.apply_through_faults()
    if offer.unprotect:
        stack.apply(**offer.unprotect)
    stack.destroy(**offer.unprotect)
    assert sorted(left_over(stack.project)) == sorted(offer.seeded())


@pytest.mark.parametrize("offer", [stacks.ROOT, stacks.PRIVATE_ACCESS], ids=lambda offer: offer.name)
def test_every_delete_may_fail_once_and_destroying_again_ends_it(offered, offer):
    stack = offered(offer)
    stack.apply()
    stack.project.fail_each_delete_once = True
    destroys = 1
    while (done := stack.try_destroy()).code != 0:
        assert "injected fault while deleting" in done.flat, done.why[-3000:]
        destroys += 1
        assert destroys < 40, "the stack is never gone"
    assert len(stack.project.failed) == len(stack.project.order("delete")), "not every delete has failed once"
    assert sorted(left_over(stack.project)) == sorted(offer.seeded())
    assert stack.state()["resources"] == []


TYPES = (
    "google_project_service",
    "google_compute_network",
    "google_vpc_access_connector",
    "google_redis_instance",
    "google_service_account",
    "google_secret_manager_secret",
    "google_secret_manager_secret_version",
    "google_secret_manager_secret_iam_member",
    "google_cloud_run_v2_service",
)


def fail_one(stack, type_name):
    stack.project.faults = {type_name: 1}
    failed = stack.try_apply()
    assert failed.code == 1 and f"injected fault while creating {type_name}" in failed.flat, failed.why


@pytest.mark.long
@pytest.mark.parametrize("type_name", TYPES)
def test_one_failed_create_is_finished_by_the_next_apply(offered, type_name):
    stack = offered(stacks.ROOT)
    fail_one(stack, type_name)
    stack.apply()
    stack.assert_settled()


@pytest.mark.parametrize("type_name", TYPES)
def test_a_failed_create_leaves_nothing_that_a_destroy_would_miss(offered, type_name):
    stack = offered(stacks.ROOT)
    fail_one(stack, type_name)
    stack.destroy()
    assert left_over(stack.project) == []


@pytest.mark.parametrize("offer", [stacks.ROOT, stacks.PRODUCTION], ids=lambda offer: offer.name)
def test_a_service_whose_first_revision_fails_is_repaired_by_the_next_apply(offered, offer):
    stack = offered(offer)
    stack.project.bad_images = [BAD_IMAGE]
    failed = stack.try_apply(image=BAD_IMAGE)
    assert failed.code == 1 and "failed to start and listen" in failed.flat, failed.why
    good = {"image": stacks.IMAGE}
    stack.apply(**good)
    stack.assert_settled(**good)


def test_a_protected_stack_whose_service_never_started_can_be_destroyed(offered):
    stack = offered(stacks.PRODUCTION)
    stack.project.bad_images = [BAD_IMAGE]
    bad = {"image": BAD_IMAGE}
    assert stack.try_apply(**bad).code == 1
    # The apply that lifts the protection fails at the service again, but lifts it.
    assert stack.try_apply(**bad, **stacks.PRODUCTION.unprotect).code == 1
    stack.destroy(**bad, **stacks.PRODUCTION.unprotect)
    assert sorted(left_over(stack.project)) == sorted(stacks.PRODUCTION.seeded())


def test_a_revision_that_fails_later_leaves_the_service_in_place(offered):
    stack = offered(stacks.ROOT)
    stack.apply()
    stack.project.bad_images = [BAD_IMAGE]
    assert stack.try_apply(image=BAD_IMAGE).code == 1
    assert stack.plan().actions.get("module.service.google_cloud_run_v2_service.this") in (None, "update")
    stack.apply()
    stack.assert_settled()
