# What is built, by whom, and what is refused. tests/checkout is a two-file source tree.

mock_provider "google" {}
mock_provider "time" {}

variables {
  project_id = "demo-project"
  region     = "us-central1"
  name       = "confab"
  source_dir = "./tests/checkout"
}

run "the_tag_is_the_hash_of_the_sources" {
  command = plan

  assert {
    condition     = length(output.source_hash) == 40
    error_message = "forty hex digits"
  }

  assert {
    condition     = google_artifact_registry_repository.this.format == "DOCKER"
    error_message = "a repository of images"
  }

  assert {
    condition     = length(google_artifact_registry_repository.this.cleanup_policies) == 2
    error_message = "old images go"
  }

  assert {
    condition     = google_storage_bucket.build.force_destroy == true
    error_message = "the bucket doesn't outlive the stack"
  }
}

run "the_builder_has_rights_on_two_things_only" {
  command = plan

  assert {
    condition     = google_artifact_registry_repository_iam_member.build.role == "roles/artifactregistry.writer"
    error_message = "the repository"
  }

  assert {
    condition     = google_storage_bucket_iam_member.build.role == "roles/storage.admin"
    error_message = "its bucket"
  }
}

run "other_sources_are_another_tag" {
  command = plan

  variables {
    source_patterns = ["Dockerfile"]
  }

  assert {
    condition     = output.source_hash != run.the_tag_is_the_hash_of_the_sources.source_hash
    error_message = "the hash covers every file"
  }
}

run "a_folder_without_dockerfile_is_refused" {
  command = plan

  variables {
    source_dir = "./tests"
  }

  expect_failures = [terraform_data.build]
}

run "source_patterns_empty_is_refused" {
  command = plan

  variables {
    source_patterns = []
  }

  expect_failures = [var.source_patterns]
}

run "build_region_unknown_is_refused" {
  command = plan

  variables {
    build_region = "earth"
  }

  expect_failures = [var.build_region]
}

run "machine_type_unknown_is_refused" {
  command = plan

  variables {
    machine_type = "n2-standard-2"
  }

  expect_failures = [var.machine_type]
}

run "timeout_seconds_ten_is_refused" {
  command = plan

  variables {
    timeout_seconds = 10
  }

  expect_failures = [var.timeout_seconds]
}

run "keep_images_none_is_refused" {
  command = plan

  variables {
    keep_images = 0
  }

  expect_failures = [var.keep_images]
}

run "grant_wait_seconds_negative_is_refused" {
  command = plan

  variables {
    grant_wait_seconds = -1
  }

  expect_failures = [var.grant_wait_seconds]
}

run "name_too_short_is_refused" {
  command = plan

  variables {
    name = "ab"
  }

  expect_failures = [var.name]
}
