"""Backups of a controller's folder, and what it takes to begin again from one."""
