"""flywizard takes a docker-compose project to Fly.io; this package holds its version."""

__version__ = "0.1.0"
