"""Where other sites fetch this fleet's trust bundle: a process of its own, which holds that
document, a server's key and nothing else.
"""
