"""The model, in a child process that holds no key. Knows nothing of attestation."""
