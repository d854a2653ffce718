"""Gateway processes over SQLAlchemy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Row, delete, insert, select

from framegate.identity.names import DeviceId, Kind
from framegate.registry.device import Device, GatewayProcess
from framegate_controller.store.sql.device_rows import DEVICES, device_of
from framegate_controller.store.sql.rows import Rows, fields_of, table_of
from framegate_controller.store.tables import machines

_GATEWAYS: Final = table_of(machines.Gateway)


class SqlGatewayProcesses:
    """See `ports.GatewayProcesses`."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    def of_host(self, host: str) -> list[GatewayProcess]:
        """Those of one host."""
        return [
            _process(r) for r in self._rows.all(select(_GATEWAYS).where(_GATEWAYS.c.host == host))
        ]

    def of_zone(self, zone: str) -> list[tuple[GatewayProcess, Device]]:
        """Those of a zone, each with its host."""
        hosts = {
            h.id: h
            for h in (
                device_of(r)
                for r in self._rows.all(
                    select(DEVICES).where(
                        DEVICES.c.zone == zone, DEVICES.c.kind == Kind.GATEWAY.value
                    )
                )
            )
        }
        processes = (
            self._rows.all(select(_GATEWAYS).where(_GATEWAYS.c.host.in_(list(hosts))))
            if hosts
            else ()
        )
        return [(_process(r), hosts[DeviceId(r.host)]) for r in processes]

    def replace(self, host: str, processes: Sequence[GatewayProcess]) -> None:
        """Exactly these from now on."""
        self._rows.run(delete(_GATEWAYS).where(_GATEWAYS.c.host == host))
        for process in processes:
            self._rows.run(insert(_GATEWAYS).values(**fields_of(process)))


def _process(r: Row[Any]) -> GatewayProcess:
    return GatewayProcess(
        publics_sha256=r.publics_sha256,
        host=DeviceId(r.host),
        publics=r.publics,
        result_id=r.result_id,
    )
