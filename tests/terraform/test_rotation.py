"""Rotation by a sequence of applies, as the modules document it."""

import stacks
from test_lifecycle import assert_secret_is_current


def stored(stack, secret):
    """Every value of a secret that still has a version, oldest first."""
    return [
        stack.project.payloads[version["name"]]
        for version in stack.project.of("google_secret_manager_secret_version")
        if version["secret"].endswith(f"/{secret}")
    ]


def test_the_password_of_redis_is_rotated_by_switching_auth_off_and_on(offered):
    stack = offered(stacks.ROOT)
    stack.apply()
    before = stored(stack, "confab-redis-auth")
    rotating = {"redis": {"auth": "rotating"}}
    stack.apply(**rotating)
    stack.assert_settled(**rotating)
    assert stack.project.of("google_redis_instance")[0]["auth_enabled"] is False
    stack.apply()
    after = stored(stack, "confab-redis-auth")
    assert after[-1] not in before
    assert_secret_is_current(stack)
    stack.assert_settled()


def test_a_token_key_is_rotated_with_both_keys_valid_in_between(offered):
    stack = offered(stacks.ROOT)
    stack.apply()
    (only,) = stored(stack, "confab-token-keys")
    both = {"token_keys": ["2", "1"]}
    stack.apply(**both)
    stack.assert_settled(**both)
    newest = stored(stack, "confab-token-keys")[-1].split(",")
    assert len(newest) == 2 and newest[1] == only and newest[0] != only
    last = {"token_keys": ["2"]}
    stack.apply(**last)
    stack.assert_settled(**last)
    assert stored(stack, "confab-token-keys")[-1] == newest[0]


def test_a_new_certificate_authority_reaches_the_container_by_an_apply(offered):
    stack = offered(stacks.ROOT)
    stack.apply()
    redis = stack.project.of("google_redis_instance")[0]
    redis["server_ca_certs"].append(dict(redis["server_ca_certs"][0], cert="-----BEGIN CERTIFICATE-----\nnew\n"))
    stack.apply()
    stack.assert_settled()
    bundle = stored(stack, "confab-redis-ca")[-1]
    assert all(certificate["cert"].strip() in bundle for certificate in redis["server_ca_certs"])
