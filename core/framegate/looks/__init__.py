"""Second looks at a frame beside the network's: which there are, their limits, how those are found
at commissioning, and how a slow drift shows.
"""
