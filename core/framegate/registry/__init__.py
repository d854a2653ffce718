"""What a controller keeps of its fleet, as frozen values: machines, tickets, people, requests,
models, parts, zones, rollouts.

Stores read rows into these and write these into rows; nobody above a store sees a row. A change is
a new value (`dataclasses.replace`) that is put back in the transaction of the change.
"""
