"""What programs share at their edge to the host.

Private and whole files, keys in files, errors as sentences, logging, signals, TLS to the broker.
"""
