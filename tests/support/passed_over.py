"""Commands that a walk through all of them passes over, wholly or for some of their files."""

SERVE = {
    "framegate-console run": "serves until it is ended",
    "framegate witness run": "serves until it is ended",
    "framegate-gateway run": "waits for its host's agent",
    "framegate-gateway backend": "waits for its host's agent",
    "framegate-sim camera": "writes frames for as long as it is read",
    "framegate-sim sensor": "writes windows for as long as it is read",
    "framegate-sim machine": "keeps a simulated machine on",
    "framegate-sim attack": "is a campaign of its own, of minutes",
    "framegate-sim attack-model": "is a campaign of its own, of minutes",
    "framegate-sim fleet": "raises a fleet that lives for minutes",
    "framegate-sim up": "starts a fleet and leaves it running",
    "framegate-sim link": "passes connections on until it is ended",
    "framegate-sim lying-gateway": "serves",
}
"""They do not end by themselves when they are used as they should; each has tests of its own."""
SHARED = {"context", "config"}
"""Files that one piece of code reads for every command: asked of a few."""
ASKED_FOR_ALL = {"framegate fleet", "framegate camera retire", "framegate-line status"}
