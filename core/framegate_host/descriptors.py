"""How many descriptors a process may hold: raised to what it needs, or it does not start."""

from __future__ import annotations

import resource

from framegate.errors import Reason, Unavailable


def require_descriptors(needed: int, what: str) -> None:
    """Raise this process's limit of open descriptors to `needed`, where it is lower.

    Raises Unavailable where it may not go so high: a server that runs out of them in the middle
    refuses whom it should not.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return
    if hard != resource.RLIM_INFINITY and hard < needed:
        hint = f"LimitNOFILE={needed} in its unit, or ulimit -n {needed}"
        raise Unavailable.of(
            Reason.UNAVAILABLE, f"{needed} open files allowed for {what}", f"{hard}", hint
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
