"""What the end-to-end tests stand on: namespaces, far ends, the daemon, captures and raw clients."""
