"""The local stack: what Cloud Run and Memorystore give, on one machine. The command is `k8s-local/local`."""
