"""From bytes that prove nothing to a verdict: verify, appraise, and the same offline from files."""
