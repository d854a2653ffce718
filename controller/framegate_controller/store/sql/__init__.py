"""The store's ports over SQLAlchemy: one module a repository, rows in, frozen values out."""
