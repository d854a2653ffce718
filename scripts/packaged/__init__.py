"""How `make deb` makes the packages: each module is one step."""
