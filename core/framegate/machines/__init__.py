"""State machines of the fleet, each a table: state and event to next state, and nothing that is not
in it.
"""
