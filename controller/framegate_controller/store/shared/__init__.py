"""State that one controller process holds, each piece behind a protocol with its in-memory owner,
so that a shared one can stand beside it.
"""
