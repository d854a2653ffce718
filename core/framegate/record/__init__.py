"""The append-only record: entries, the tree over them, and their verification offline."""
