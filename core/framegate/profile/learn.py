"""Learn a firmware profile from machines known to be good: what they measured is the reference.

What differs from machine to machine for no bad reason (boot entries, revocation lists that only
grow, SBAT levels, commands) becomes a rule about its meaning; everything else is claimed by digest.
The outcome is for a person to read and sign.

Each machine's boot log is read (`reading`); from what all of them showed come the profile's rules,
kind by kind; and those are written down as TOML.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from framegate.eventlog.content import weakening
from framegate.eventlog.parse import BootLog
from framegate.eventlog.quirks import BY_TABLE
from framegate.identity.names import Kind
from framegate.ima.allowlist import STRONG, AllowedFile, allowlist_text, parse_allowlist
from framegate.ima.entry import BOOT_AGGREGATE, IMA_PCR, ImaEntry
from framegate.ima.judge import honest
from framegate.ima.replay import require_one_pcr
from framegate.profile.members import bad
from framegate.profile.model import EventRule, SecureBoot, TextRule, VariableRule
from framegate.profile.posture import Posture
from framegate.profile.reading import (
    FIRMWARE_PCRS,
    BootReading,
    BootSetting,
    Command,
    Generations,
    Measured,
    Revoked,
    read_boot_log,
)
from framegate.tpm.constants import HASH_NAME, Alg
from framegate.wire import sha256

AGENT_FOLDER: Final = "/opt/framegate/"
"""Where the packaged agent's files lie.

The IMA rule that measures them is what ties a quote to our own code.
"""
IMA_POLICY: Final = "/etc/ima/ima-policy"
"""From where the kernel is told to load its IMA policy, which measures it there (POLICY_CHECK)."""
_STARTED: Final = re.compile(
    rf"{AGENT_FOLDER}(?:.*/)?framegate_agent/(?:tpm/)?"
    r"(?:__pycache__/(?:main|daemon|attestation|chip)\.cpython-\d+\.pyc"
    r"|(?:main|daemon|attestation|tpm)\.py)"
)
"""What every agent has read before it attests for the first time since the boot: modules compiled
as its package brings them, or their source. What else it reads depends on what is typed and what
comes by: a machine would be suspect after a reboot for what nobody has asked of it yet.
"""
_DEBUG_PCR: Final = 16
"""From here on PCRs can be reset while the system runs, and say nothing of its boot."""
_OS_IDS: Final = ("debian", "ubuntu")
"""What the agent is packaged for: demanded where no machine told its own."""


@dataclass(frozen=True, slots=True)
class Observation:
    """What one good machine showed.

    Its boot log, IMA entries (empty: no IMA), posture, TPM firmware, the quirks its replay took,
    and what it is enrolled as; None where nobody says.
    """

    log: BootLog
    ima: Sequence[ImaEntry] = ()
    posture: Posture | None = None
    tpm_firmware: int | None = None
    quirks: tuple[str, ...] = ()
    kind: Kind | None = None


class Learnt(NamedTuple):
    """A profile as TOML data, and its allowlist's bytes: nothing where no machine had IMA."""

    profile: dict[str, Any]
    allowlist: bytes


def learn(
    machines: Sequence[Observation],
    *,
    name: str,
    version: str,
    revision: int,
    description: str,
    bank: Alg,
    base: bytes = b"",
) -> Learnt:
    """A profile that all of `machines` satisfy; `base` is an allowlist whose files stay allowed.

    An event is required where every machine has it. Machines must be of one model: a digest that
    only one of them has is allowed all the same. Quirks that take values of a profile's own
    (`BY_TABLE`) are left to whoever writes those. The profile is for the kind of machine that all
    are; where one's is unknown, for any. Raises ValueError without machines, Malformed
    (PROFILE_INVALID) for cameras beside gateways, EvidenceRejected (IMA_MALFORMED) for a list with
    entries of another PCR than 10.
    """
    if not machines:
        raise ValueError("at least one machine")
    for machine in machines:
        require_one_pcr(machine.ima)
    kind = _kind(machines)
    rules = _rules([read_boot_log(m.log, bank) for m in machines], bank)
    files = _files(machines, base)
    head = {
        "name": name,
        "version": version,
        "revision": revision,
        **({"kind": kind.value} if kind is not None else {}),
        "description": description,
        "bank": HASH_NAME[bank],
        "pcrs": _pcrs(machines, with_ima=files is not None),
    }
    return Learnt(_toml(head, machines, rules, files), files.allowlist if files else b"")


def _kind(machines: Sequence[Observation]) -> Kind | None:
    kinds = {m.kind for m in machines}
    if len(kinds - {None}) > 1:
        raise bad("machines of one kind", " and ".join(sorted(k for k in kinds if k)))
    return kinds.pop() if len(kinds) == 1 else None


# what all showed, as the profile's rules


@dataclass(frozen=True, slots=True)
class _Rules:
    """What the boot logs make a profile demand."""

    secure_boot: SecureBoot
    variables: tuple[VariableRule, ...]
    texts: tuple[TextRule, ...]
    events: tuple[EventRule, ...]


def _rules(machines: Sequence[BootReading], bank: Alg) -> _Rules:
    return _Rules(
        _secure_boot(machines), _variables(machines), _texts(machines), _events(machines, bank)
    )


def _secure_boot(machines: Sequence[BootReading]) -> SecureBoot:
    """The least that all have; a minimum is demanded where there is one of each machine."""
    revoked = [r.hashes for m in machines for r in m.every(Revoked)]
    levels = [g.of for m in machines for g in m.every(Generations)]
    dbx, sbat = None, None
    if len(revoked) == len(machines):
        dbx = frozenset.intersection(*revoked)
    if len(levels) == len(machines):
        common = set.intersection(*map(set, levels))
        sbat = {c: min(of[c] for of in levels) for c in sorted(common)}
    return SecureBoot(all(m.secure_boot for m in machines), dbx, sbat)


def _variables(machines: Sequence[BootReading]) -> tuple[VariableRule, ...]:
    names = {s.name for m in machines for s in m.every(BootSetting)}
    return (VariableRule("boot order and entries", 1, tuple(sorted(names))),) if names else ()


def _texts(machines: Sequence[BootReading]) -> tuple[TextRule, ...]:
    commands = [set(m.every(Command)) for m in machines]
    with_text = Counter(pcr for told in commands for pcr in {c.pcr for c in told})
    return tuple(
        TextRule(
            f"boot commands in PCR {pcr}",
            pcr,
            tuple(sorted(c.text for c in set.union(*commands) if c.pcr == pcr)),
            required=count == len(machines),
        )
        for pcr, count in sorted(with_text.items())
    )


def _events(machines: Sequence[BootReading], bank: Alg) -> tuple[EventRule, ...]:
    names = _names(machines)
    digests: dict[tuple[int, str], frozenset[bytes]] = {}
    for (pcr, digest), name in names.items():
        digests[pcr, name] = digests.get((pcr, name), frozenset()) | {digest}
    present = Counter(
        thing
        for machine in machines
        for thing in {(e.pcr, names[e.pcr, e.digest]) for e in machine.every(Measured)}
    )
    # a protection that was off is allowed where a machine had it off, and demanded of none
    return tuple(
        EventRule(
            f"{name} (PCR {pcr})",
            pcr,
            values,
            required=present[pcr, name] == len(machines)
            and not any(weakening(pcr, v, bank) for v in values),
        )
        for (pcr, name), values in sorted(digests.items())
    )


def _names(machines: Sequence[BootReading]) -> dict[tuple[int, bytes], str]:
    """PCR and digest to what the thing is called: its words, numbered where several share them.

    The same digest in a PCR is the same thing, in another order, twice, or in another machine; one
    that only a later machine has is another version of that machine's first, second … of its words.
    """
    names: dict[tuple[int, bytes], str] = {}
    for machine in machines:
        count: Counter[tuple[int, str]] = Counter()
        for event in machine.every(Measured):
            if (event.pcr, event.digest) in names:
                continue
            count[event.pcr, event.description] += 1
            number = count[event.pcr, event.description]
            called = event.description if number == 1 else f"{event.description} #{number}"
            names[event.pcr, event.digest] = called
    return names


@dataclass(frozen=True, slots=True)
class _Files:
    """What the machines' IMA lists make a profile demand."""

    allowlist: bytes
    max_violations: int
    measured: tuple[str, ...]
    required: tuple[str, ...]


def _files(machines: Sequence[Observation], base: bytes) -> _Files | None:
    """None where no machine measures its files."""
    lists = [m.ima for m in machines if m.ima]
    if not lists:
        return None
    entries = [e for each in lists for e in each]
    kept = parse_allowlist(base).files() if base else ()
    ours = any(e.path.startswith(AGENT_FOLDER.encode()) for e in entries)
    return _Files(
        allowlist_text([*_strong(entries), *kept]),
        max(sum(e.violation for e in each) for each in lists),
        (AGENT_FOLDER,) if ours else (),
        _required(lists),
    )


def _required(lists: Sequence[Sequence[ImaEntry]]) -> tuple[str, ...]:
    """The IMA policy, and of our own files those that every start reads, as far as every machine
    measured them. Without a package's compiled modules their source, which it has beside them.
    """
    shown = [{f.path for f in _strong(each) if honest(f.path)} for each in lists]
    common = [path.decode() for path in set.intersection(*shown)]
    started = [path for path in common if _STARTED.fullmatch(path)]
    compiled = [path for path in started if path.endswith(".pyc")]
    return tuple(sorted([*(p for p in common if p == IMA_POLICY), *(compiled or started)]))


def unlistable(entries: Iterable[ImaEntry]) -> list[ImaEntry]:
    """Measured files that no allowlist can allow: their digest is too weak, or there is none."""
    return [
        e
        for e in entries
        if e.path != BOOT_AGGREGATE and not e.violation and e.algorithm not in STRONG
    ]


def allowed_files(entries: Iterable[ImaEntry]) -> list[AllowedFile]:
    """What an allowlist can have of measured files: no violation, nothing `unlistable`."""
    return list(_strong(entries))


def _strong(entries: Iterable[ImaEntry]) -> Iterator[AllowedFile]:
    for entry in entries:
        if entry.path == BOOT_AGGREGATE or entry.violation or entry.algorithm not in STRONG:
            continue
        yield AllowedFile(entry.algorithm, entry.digest, entry.path)


def _pcrs(machines: Sequence[Observation], *, with_ima: bool) -> list[int]:
    extended = {e.pcr for m in machines for e in m.log.events if e.extends and e.pcr < _DEBUG_PCR}
    quoted = {*FIRMWARE_PCRS, *extended} - {IMA_PCR}
    return sorted(quoted | {IMA_PCR} if with_ima else quoted)


# the rules as TOML


def _toml(
    head: Mapping[str, Any],
    machines: Sequence[Observation],
    rules: _Rules,
    files: _Files | None,
) -> dict[str, Any]:
    firmware = {f"{m.tpm_firmware:016x}" for m in machines if m.tpm_firmware is not None}
    os_ids = {m.posture.os_id for m in machines if m.posture}
    quirks = {q for m in machines for q in m.quirks} - BY_TABLE
    body: dict[str, Any] = {
        "profile": dict(head),
        "tpm": {"firmware": sorted(firmware) or "any"},
        "secure_boot": _secure_boot_table(rules.secure_boot),
        "posture": {"os_ids": sorted(os_ids) or list(_OS_IDS)},
        "ima": _ima_table(files) if files else None,
        "quirks": sorted(quirks),
        "variable": [_variable_table(v) for v in rules.variables],
        "text": [_text_table(t) for t in rules.texts],
    }
    said = {key: value for key, value in body.items() if value}
    return {**said, "event": [_event_table(e) for e in rules.events]}


def _secure_boot_table(rule: SecureBoot) -> dict[str, Any]:
    table: dict[str, Any] = {"required": rule.required}
    if rule.dbx_minimum is not None:
        table["dbx_minimum"] = sorted(h.hex() for h in rule.dbx_minimum)
    if rule.sbat_minimum is not None:
        table["sbat_minimum"] = [f"{c},{least}" for c, least in rule.sbat_minimum.items()]
    return table


def _ima_table(files: _Files) -> dict[str, Any]:
    table: dict[str, Any] = {
        "allowlists": [f"sha256:{sha256(files.allowlist).hex()}"],
        "max_violations": files.max_violations,
    }
    optional = {"measured": list(files.measured), "required": list(files.required)}
    return {**table, **{name: paths for name, paths in optional.items() if paths}}


def _variable_table(rule: VariableRule) -> dict[str, Any]:
    return {"name": rule.name, "pcr": rule.pcr, "names": list(rule.names)}


def _text_table(rule: TextRule) -> dict[str, Any]:
    allow = list(rule.allow)
    return {"name": rule.name, "pcr": rule.pcr, "allow": allow, "required": rule.required}


def _event_table(rule: EventRule) -> dict[str, Any]:
    digests = sorted(d.hex() for d in rule.digests or ())
    return {"name": rule.name, "pcr": rule.pcr, "digests": digests, "required": rule.required}
