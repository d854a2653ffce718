"""Who may send which frame, decided anew for every message."""
