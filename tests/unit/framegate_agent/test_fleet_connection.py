"""The connection to the fleet port, and a channel that does not close."""

import asyncio

from framegate_agent import fleet_connection
from framegate_agent.fleet_connection import FleetConnection


class Stuck:
    """A channel in a handshake with a peer that says nothing."""

    closing = False

    async def close(self, grace):
        self.closing = True
        await asyncio.Event().wait()


class At:
    fleet_address = "10.0.0.1:7444"


async def test_a_channel_that_does_not_close_is_left_behind(monkeypatch, caplog):
    monkeypatch.setattr(fleet_connection, "CLOSE_MOST_S", 0.01)
    connection = FleetConnection(None, None, At)
    stuck = connection._channel = Stuck()
    await asyncio.wait_for(connection.drop(), 30)
    assert stuck.closing and connection._channel is None
    assert "10.0.0.1:7444 does not close" in caplog.text
    await asyncio.wait_for(connection.drop(), 30)  # there is nothing more to close
