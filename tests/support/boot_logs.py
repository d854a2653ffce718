"""Boots whose log was changed."""

from framegate.errors import Reason


def join_with_log(bench, log: bytes):
    """Join a machine whose TPM really measured what `log` says."""
    forge = bench.forge()
    forge.boot(log)
    return bench.join(forge, bench.invite(ek=forge.ek_sha256))


def reasons_without_certificate(answer) -> set[Reason]:
    assert answer.certificate is None
    return {f.reason for f in answer.failures}
