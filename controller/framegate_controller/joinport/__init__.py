"""The join port, as a process of its own: strangers cost it, and not the controller. It holds the
server's key, no database and no key of the fleet.
"""
