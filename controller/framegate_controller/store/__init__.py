"""The registry: the only place that knows the database."""
