"""Facts about people: how they sign in, what they hold, who decides with whom."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from framegate.assessment.fact import Case, Shown, Unit, count, fact, share
from framegate.assessment.reading import LONG_DAYS, WINDOW_DAYS, Entry, View

OPERATOR: Final = "operator."
TWO_FACTORS: Final = frozenset({"password", "security-key"})
"""Ways to sign in that take two factors here. What a provider (OIDC) asked for, no entry says."""
POWER: Final = frozenset({"admin", "security", "engineer"})
"""Roles that change what the plant trusts."""
HIGH: Final = 4
TRIED_MS: Final = 7 * 86_400_000
"""A policy was tried on the past if somebody did so in the week before it was put in force."""
EXPORTS: Final = frozenset({"frame.export", "dataset.export"})
_SIGNED: Final = ("signed-in",)


def _sign_ins(view: View) -> list[Entry]:
    """A new account's first sign-in is with the code it was given, and says nothing of habits; a
    sealed credential is an exception, and has a fact of its own.
    """
    rows = view.rows(*_SIGNED, days=WINDOW_DAYS)
    return [e for e in rows if e.get("members", {}).get("method") != "enrolment"]


@fact("sign-ins-phishing-resistant", Unit.SHARE, *_SIGNED)
def phishing_resistant(view: View) -> Shown:
    """Sign-ins of the last 30 days by a security key (FIDO2), of all."""
    return share(
        Case(str(e["actor"]), e.get("members", {}).get("method") == "security-key", e["index"])
        for e in _sign_ins(view)
    )


@fact("sign-ins-two-factor", Unit.SHARE, *_SIGNED)
def two_factor(view: View) -> Shown:
    """Sign-ins of the last 30 days for which this fleet itself asked for two factors, of all; an
    identity provider's word does not count as such.
    """
    return share(
        Case(str(e["actor"]), e.get("members", {}).get("method") in TWO_FACTORS, e["index"])
        for e in _sign_ins(view)
    )


_ACCOUNTS: Final = ("operator-added", "operator-enabled", "operator-disabled")
_ROLES: Final = ("operator-added", "operator-roles", "set-up-ended")


def _enabled(view: View) -> dict[str, Entry]:
    """Operators who are let in, and the entry that added them."""
    people: dict[str, Entry] = {}
    barred: set[str] = set()
    for entry in view.rows(*_ACCOUNTS):
        name = str(entry["members"]["operator"])
        if entry["event"] == "operator-added":
            people[name] = entry
        (barred.add if entry["event"] == "operator-disabled" else barred.discard)(name)
    return {name: entry for name, entry in people.items() if name not in barred}


@fact("operators-in-use", Unit.SHARE, *_ACCOUNTS, "signed-in")
def in_use(view: View) -> Shown:
    """Operators who are let in and signed in, or were added, in the last 90 days, of all who are
    let in.
    """
    seen = {str(e["actor"]): e for e in view.rows("signed-in", days=LONG_DAYS)}
    since = view.at_ms - LONG_DAYS * 86_400_000
    return share(
        Case(name, OPERATOR + name in seen or added["at_ms"] > since, added["index"])
        for name, added in _enabled(view).items()
    )


def _standing(view: View) -> dict[str, tuple[set[str], Entry]]:
    """Standing roles of each operator, and the entry that says so last."""
    roles: dict[str, tuple[set[str], Entry]] = {}
    for entry in view.rows(*_ROLES):
        members = entry["members"]
        name = str(members["operator"])
        if entry["event"] == "set-up-ended":
            roles[name] = (roles.get(name, (set[str](), entry))[0] - {"admin"}, entry)
        else:
            given = members.get("roles" if entry["event"] == "operator-added" else "after", [])
            roles[name] = ({str(r).partition("@")[0] for r in given}, entry)
    return roles


@fact("operators-without-standing-power", Unit.SHARE, *_ACCOUNTS, *_ROLES[1:])
def without_standing_power(view: View) -> Shown:
    """Operators who hold none of admin, security and engineer for good, of all who are let in;
    what somebody holds for a while, on approval, does not count against it.
    """
    enabled = _enabled(view)
    return share(
        Case(name, not roles & POWER, entry["index"])
        for name, (roles, entry) in _standing(view).items()
        if name in enabled
    )


@fact("changes-by-two", Unit.SHARE, "*changes")
def by_two(view: View) -> Shown:
    """What people did in the last 90 days by verbs that take two, with somebody else's approval,
    of all of it.
    """
    return share(
        Case(str(e.get("verb", "")), bool(e.get("approved_by")), e["index"])
        for e in view.changes(LONG_DAYS)
        if str(e.get("actor", "")).startswith(OPERATOR)
    )


@fact("break-glass-reviewed", Unit.SHARE, "break-glass-used", "break-glass-reviewed")
def break_glass_reviewed(view: View) -> Shown:
    """Uses of a sealed credential in the last 90 days that somebody else has looked into since, of
    all.
    """
    reviews = view.rows("break-glass-reviewed")
    return share(
        Case(
            str(used["actor"]),
            any(r["index"] > used["index"] and r["actor"] != used["actor"] for r in reviews),
            used["index"],
        )
        for used in view.rows("break-glass-used", days=LONG_DAYS)
    )


@fact("behaviour-high", Unit.COUNT, "behaviour-noticed", *_SIGNED)
def behaviour_high(view: View) -> Shown:
    """What people did in the last 30 days that met a rule of behaviour of high rank; no data where
    nobody signed in.
    """
    rows = view.rows("behaviour-noticed", days=WINDOW_DAYS)
    watched = view.rows(*_SIGNED, days=WINDOW_DAYS)
    return count([e for e in rows if e["members"]["rank"] >= HIGH], watched)


@fact("policy-by-two", Unit.SHARE, "policy-applied")
def policy_by_two(view: View) -> Shown:
    """Whether somebody else approved the access policy in force; no data while it is the one that
    fleets begin with.
    """
    last = view.rows("policy-applied")[-1:]
    return share(
        Case("policy", bool(e.get("approved_by")), e["index"])
        for e in last
        if str(e.get("actor", "")).startswith(OPERATOR)
    )


@fact("policies-tried", Unit.SHARE, "policy-applied", "allowed")
def policies_tried(view: View) -> Shown:
    """Access policies put in force in the last 90 days that somebody had tried on recorded
    decisions in the week before, of all.
    """
    return share(_tried(view))


def _tried(view: View) -> Iterator[Case]:
    tries = [e for e in view.rows("allowed") if e.get("verb") == "policy.simulate"]
    for entry in view.rows("policy-applied", days=LONG_DAYS):
        if str(entry.get("actor", "")).startswith(OPERATOR):
            since = entry["at_ms"] - TRIED_MS
            good = any(since <= t["at_ms"] and t["index"] < entry["index"] for t in tries)
            yield Case(str(entry["members"].get("policy", "")), good, entry["index"])


@fact("exports-by-two", Unit.SHARE, "approval-taken", "access-asked")
def exports_by_two(view: View) -> Shown:
    """Frames and sets of frames that left in the last 90 days on somebody else's approval, of
    all.
    """
    asked = {
        e["members"]["request"]
        for e in view.rows("access-asked")
        if e["members"].get("about") in EXPORTS
    }
    return share(
        Case(str(e["actor"]), bool(_others(e)), e["index"])
        for e in view.rows("approval-taken", days=LONG_DAYS)
        if e["members"]["request"] in asked
    )


def _others(entry: Entry) -> set[str]:
    own = {str(entry["actor"]), str(entry["actor"]).removeprefix(OPERATOR)}
    return {str(a) for a in entry["members"].get("approvers", ())} - own
