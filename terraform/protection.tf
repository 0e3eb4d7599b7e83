# Protects the service, and what lies behind it, from a destroy and from a change that would make another service. Redis
# has the provider's own protection as well; but the provider refuses only when a resource's turn comes, after what lies
# before it is gone. This depends on everything, so whatever destroys meets it first and has touched nothing when it refuses.
# It is made last: until a first apply has gone through, a failed service may be replaced.
resource "terraform_data" "protection" {
  input            = var.deletion_protection
  triggers_replace = [var.project_id, var.region, var.name]

  provisioner "local-exec" {
    when    = destroy
    command = self.input ? "echo 'This stack is protected: deletion_protection is true. To destroy it, or to change its project, region or name, set deletion_protection to false, run terraform apply, then do it.' >&2 && exit 1" : "exit 0"
  }

  depends_on = [module.service, module.observability]
}
