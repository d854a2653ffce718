"""The classes of OCSF that the record uses, with their captions (OCSF 1.8.0; the one that 1.9.0
brings is said to be). None of them is deprecated in its version.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

CATEGORIES: Final[Mapping[int, str]] = MappingProxyType(
    {
        0: "Uncategorized",
        1: "System Activity",
        2: "Findings",
        3: "Identity & Access Management",
        4: "Network Activity",
        5: "Discovery",
        6: "Application Activity",
    }
)
OTHER: Final = 99
"""The activity that a class has no number for; its name is then our own."""


@dataclass(frozen=True, slots=True)
class EventClass:
    """One class: its id, its caption, and the captions of its activities that are used.

    `peers` says that it has a `src_endpoint`.
    """

    uid: int
    caption: str
    activities: Mapping[int, str]
    peers: bool = True

    @property
    def category(self) -> int:
        """Its category's id."""
        return self.uid // 1000


BASE: Final = EventClass(0, "Base Event", {}, peers=False)
EVENT_LOG: Final = EventClass(
    1008,
    "Event Log Activity",
    {3: "Export", 4: "Archive", 6: "Start", 7: "Stop", 9: "Enable", 10: "Disable"},
)
COMPLIANCE: Final = EventClass(2003, "Compliance Finding", {1: "Create", 3: "Close"}, peers=False)
FINDING: Final = EventClass(2004, "Detection Finding", {1: "Create"}, peers=False)
DATASTORE: Final = EventClass(6005, "Datastore Activity", {1: "Read"})
INCIDENT: Final = EventClass(
    2005, "Incident Finding", {1: "Create", 2: "Update", 3: "Close"}, peers=False
)
ACCOUNT: Final = EventClass(
    3001,
    "Account Change",
    {
        1: "Create",
        2: "Enable",
        3: "Password Change",
        5: "Disable",
        10: "MFA Factor Enable",
        11: "MFA Factor Disable",
    },
)
AUTHENTICATION: Final = EventClass(3002, "Authentication", {1: "Logon", 2: "Logoff"})
ENTITY: Final = EventClass(
    3004,
    "Entity Management",
    {
        1: "Create",
        2: "Read",
        3: "Update",
        4: "Delete",
        6: "Enroll",
        7: "Unenroll",
        9: "Disable",
        10: "Activate",
        11: "Deactivate",
        12: "Suspend",
        13: "Resume",
    },
)
USER_ACCESS: Final = EventClass(
    3005, "User Access Management", {1: "Assign Privileges", 2: "Revoke Privileges"}
)
USER: Final = EventClass(
    3007,
    "User Management",
    {
        1: "Create",
        4: "Enable",
        5: "Disable",
        8: "Password Change",
        12: "MFA Factor Enable",
        13: "MFA Factor Disable",
        14: "Assign Privileges",
        15: "Remove Privileges",
    },
)
"""Of OCSF 1.9.0, which deprecates `ACCOUNT` and `USER_ACCESS` for it."""
NETWORK: Final = EventClass(4001, "Network Activity", {5: "Refuse"})
INVENTORY: Final = EventClass(5001, "Device Inventory Info", {2: "Collect"}, peers=False)
DEVICE_STATE: Final = EventClass(5019, "Device Config State Change", {1: "Log"}, peers=False)
APPLICATION: Final = EventClass(
    6002,
    "Application Lifecycle",
    {1: "Install", 6: "Enable", 7: "Disable", 8: "Update"},
    peers=False,
)
API: Final = EventClass(6003, "API Activity", {1: "Create", 2: "Read", 3: "Update"})
CLASSES: Final = (
    BASE,
    EVENT_LOG,
    COMPLIANCE,
    FINDING,
    INCIDENT,
    ACCOUNT,
    AUTHENTICATION,
    ENTITY,
    USER_ACCESS,
    USER,
    NETWORK,
    INVENTORY,
    DEVICE_STATE,
    APPLICATION,
    API,
)
IN_1_9: Final[Mapping[int, Mapping[int, int]]] = MappingProxyType(
    {
        ACCOUNT.uid: {1: 1, 2: 4, 3: 8, 5: 5, 10: 12, 11: 13},
        USER_ACCESS.uid: {1: 14, 2: 15},
    }
)
"""Activities of the classes that 1.9.0 deprecates, as those of `USER`."""
