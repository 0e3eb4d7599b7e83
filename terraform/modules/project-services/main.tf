# Enables the APIs the stack calls. They stay enabled when the stack is destroyed: other things in the project may use
# them, and an enabled API costs nothing.
resource "google_project_service" "this" {
  for_each = var.services

  project                    = var.project_id
  service                    = each.value
  disable_on_destroy         = false
  disable_dependent_services = false
}

resource "time_sleep" "enabled" {
  create_duration = "${var.wait_seconds}s"

  triggers = {
    services = join(",", sort([for s in google_project_service.this : s.service]))
  }
}
