# The provider refuses to delete a protected service or Redis, but only when their turn comes, after what lies behind them
# is gone. This depends on everything, so a destroy meets it first and nothing has been touched when it refuses.
resource "terraform_data" "protection" {
  input = var.deletion_protection

  provisioner "local-exec" {
    when    = destroy
    command = self.input ? "echo 'This stack is protected: deletion_protection is true. To destroy it, set deletion_protection to false, run terraform apply, then terraform destroy.' >&2 && exit 1" : "exit 0"
  }

  depends_on = [module.service, module.observability]
}
