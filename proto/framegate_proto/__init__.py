"""The wire contract: generated messages and services, and what every edge shares."""
