"""The tables of the registry, as SQLAlchemy declares them."""
