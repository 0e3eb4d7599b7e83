# Builds the image with Cloud Build and keeps it in a repository of its own. The tag is a hash of the sources: the same
# sources are never built twice, other sources always are.
locals {
  # node_modules is a tool's, not a source, wherever somebody has installed it.
  files = sort([for f in setunion([for pattern in var.source_patterns : fileset(var.source_dir, pattern)]...) : f if !strcontains(f, "node_modules/")])
  hash  = substr(sha256(join("\n", [for f in local.files : "${f} ${filesha256("${var.source_dir}/${f}")}"])), 0, 40)

  repository = "${var.region}-docker.pkg.dev/${var.project_id}/${google_artifact_registry_repository.this.repository_id}"
  tagged     = "${local.repository}/${var.name}:${local.hash}"
}

resource "google_artifact_registry_repository" "this" {
  project       = var.project_id
  location      = var.region
  repository_id = var.name
  description   = "Images of ${var.name}, tagged by the hash of their sources."
  format        = "DOCKER"
  labels        = var.labels

  cleanup_policy_dry_run = false

  cleanup_policies {
    id     = "keep-the-newest"
    action = "KEEP"
    most_recent_versions {
      keep_count = var.keep_images
    }
  }

  cleanup_policies {
    id     = "delete-the-rest"
    action = "DELETE"
    condition {
      tag_state  = "ANY"
      older_than = "2592000s"
    }
  }
}

# Sources on their way in and logs on their way out. A bucket of the stack's own, because the ones Cloud Build makes by
# itself would outlive it.
resource "google_storage_bucket" "build" {
  project                     = var.project_id
  name                        = "${var.project_id}-${var.name}-build"
  location                    = var.region
  labels                      = var.labels
  force_destroy               = true
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"

  soft_delete_policy {
    retention_duration_seconds = 0
  }

  lifecycle_rule {
    action {
      type = "Delete"
    }
    condition {
      age = 7
    }
  }
}

# Who builds. It may write to this repository and to this bucket, and has no right on the project.
resource "google_service_account" "build" {
  project      = var.project_id
  account_id   = "${var.name}-build"
  display_name = "${var.name} image builds"
  description  = "Identity of the builds of ${var.name}'s image."
}

resource "google_artifact_registry_repository_iam_member" "build" {
  project    = var.project_id
  location   = google_artifact_registry_repository.this.location
  repository = google_artifact_registry_repository.this.repository_id
  role       = "roles/artifactregistry.writer"
  member     = google_service_account.build.member
}

# storage.admin, on this bucket alone: Cloud Build asks for buckets.get as well as for objects before it writes a log.
resource "google_storage_bucket_iam_member" "build" {
  bucket = google_storage_bucket.build.name
  role   = "roles/storage.admin"
  member = google_service_account.build.member
}

resource "time_sleep" "granted" {
  create_duration = "${var.grant_wait_seconds}s"

  triggers = {
    # Ids, and no other attribute: after the apply the provider writes a grant's object in another form than planned.
    repository = google_artifact_registry_repository_iam_member.build.id
    bucket     = google_storage_bucket_iam_member.build.id
  }
}

resource "terraform_data" "build" {
  # The repository's creation time: a new repository is empty, whatever the hash.
  triggers_replace = [local.tagged, google_artifact_registry_repository.this.create_time]

  provisioner "local-exec" {
    command = "sh \"$BUILD_SCRIPT\""

    environment = {
      BUILD_SCRIPT    = abspath("${path.module}/build.sh")
      BUILD_PROJECT   = var.project_id
      BUILD_REGION    = var.build_region
      BUILD_MACHINE   = var.machine_type
      BUILD_TIMEOUT   = var.timeout_seconds
      BUILD_IMAGE     = local.tagged
      BUILD_ACCOUNT   = google_service_account.build.name
      BUILD_BUCKET    = google_storage_bucket.build.name
      BUILD_DIRECTORY = abspath(var.source_dir)
      BUILD_FILES     = join("\n", local.files)
    }
  }

  lifecycle {
    precondition {
      condition     = contains(local.files, "Dockerfile")
      error_message = "source_dir: there is no Dockerfile in ${var.source_dir}. Set `image` to an image that exists, or build.source_dir to a checkout."
    }
  }

  depends_on = [time_sleep.granted]
}

data "google_artifact_registry_docker_image" "built" {
  count = var.resolve_digest ? 1 : 0

  project       = var.project_id
  location      = var.region
  repository_id = google_artifact_registry_repository.this.repository_id
  image_name    = "${var.name}:${local.hash}"

  depends_on = [terraform_data.build]
}
