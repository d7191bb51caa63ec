"""Support for the end-to-end tests: namespaces, far ends, the daemon, captures and raw clients."""
