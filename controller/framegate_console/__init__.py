"""The web console: a client of the fleet that shows a signed-in person what they may see, in a
browser. It holds no key of the fleet, and does nothing that its user could not.
"""
