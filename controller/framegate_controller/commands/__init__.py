"""The commands of framegate-controller: found and run, certificates, profiles, recovery."""
