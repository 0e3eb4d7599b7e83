terraform {
  # 1.11 is the first release with write-only arguments, which keep secrets out of the state.
  required_version = ">= 1.11"

  required_providers {
    google = {
      source  = "hashicorp/google"
      version = ">= 7.26, < 9"
    }
    time = {
      source  = "hashicorp/time"
      version = ">= 0.12, < 1"
    }
  }
}

# Every resource names its project and region itself; this is for the few that can't, and for nothing else. Credentials
# come from the environment.
provider "google" {
  project = var.project_id
  region  = var.region
}
