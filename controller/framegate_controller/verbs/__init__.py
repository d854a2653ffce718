"""What operators do: each verb is one frozen value that knows what it asks for, what it aims at,
and what it does in a transaction.

Nothing here knows how a verb arrived: the gRPC port, a console and playbooks make the same values.
"""
