"""A byte string with one bit of it changed: never, by chance, the one it was made from."""


def flipped(data: bytes, at: int = -1) -> bytes:
    """`data` with the lowest bit of its byte `at` changed."""
    spoiled = bytearray(data)
    spoiled[at] ^= 1
    return bytes(spoiled)
