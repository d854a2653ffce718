"""A verdict's row is the same on the disk whether its maker hands over the seal, or the envelope is
taken apart.
"""

import secrets

from framegate.signed.dsse import seal_envelope
from framegate.signed.statement import Verdict
from framegate_gateway.receipts.packing import joined_envelope, unpack
from framegate_gateway.receipts.rows import VERDICT, LeafRow, LeafWriter, Seal, settle
from framegate_gateway.receipts.schema import bring_up
from framegate_host.sqlite_file import open_sqlite


def bodies(tmp_path, name, rows):
    connection = open_sqlite(tmp_path / name)
    bring_up(connection)
    writer = LeafWriter(connection)
    with connection:
        for row in rows:
            writer.write(row)
        settle(connection)
    texts = [text for (text,) in connection.execute("SELECT text FROM shared")]
    found = [body for (body,) in connection.execute("SELECT body FROM leaves ORDER BY number")]
    connection.close()
    return texts, found


def test_a_seal_that_is_handed_over_is_what_the_envelope_says(tmp_path):
    rows = []
    for number in range(1, 20):
        payload, signature = b'{"n":%d}' % number, secrets.token_bytes(70)
        envelope = seal_envelope(
            Verdict.TYPE, payload, b"certificate" * 40, lambda _, s=signature: s
        )
        beside = (secrets.token_hex(16), VERDICT, "cam", b"s" * 16, number, "p", 7)
        row = (number, *beside, b"leaf %d" % number, payload, b"metadata", envelope)
        rows.append((row, Seal(signature, b"certificate" * 40)))
    apart = bodies(tmp_path, "a.db", [LeafRow(*row) for row, _ in rows])
    handed = bodies(tmp_path, "b.db", [LeafRow(*row, seal) for row, seal in rows])
    assert apart == handed
    parts = unpack(handed[1][3], handed[0][0])
    assert joined_envelope((parts[1], *parts[3:]), Verdict.TYPE) == rows[3][0][-1]
