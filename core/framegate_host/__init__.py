"""What programs share at their edge to the host: private and whole files, errors as sentences, logging, signals."""
