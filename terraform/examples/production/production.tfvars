project_id          = "my-chat-project"
region              = "europe-west1"
image               = "europe-west1-docker.pkg.dev/my-build-project/images/confab@sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
deletion_protection = true
notify              = ["chat-oncall@example.com"]
