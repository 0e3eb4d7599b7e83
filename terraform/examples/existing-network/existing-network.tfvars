project_id       = "my-chat-project"
region           = "us-central1"
image            = "us-central1-docker.pkg.dev/my-build-project/images/confab:1"
network          = "corporate"
connector_subnet = "serverless-us-central1"
redis_range      = "10.40.0.0/29"
used_ranges = {
  offices   = "10.10.0.0/16"
  databases = "10.30.0.0/20"
}
invokers = ["group:chat-users@example.com"]
