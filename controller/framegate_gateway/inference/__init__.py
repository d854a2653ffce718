"""The model, in a child that holds no key and knows nothing of attestation; what it is given."""
