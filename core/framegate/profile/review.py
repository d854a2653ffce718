"""Firmware profiles as people read them: what is weak in one (`lint`), what changed between two
(`diff`), what one demands (`explain`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Final

from framegate.eventlog.quirks import QUIRKS
from framegate.glob import ANY_WORDS, wildcards
from framegate.ima.entry import IMA_PCR
from framegate.ima.judge import ImaRules
from framegate.profile.extends import in_sentences
from framegate.profile.learn import AGENT_FOLDER, IMA_POLICY
from framegate.profile.model import EventRule, FirmwareProfile
from framegate.profile.remark import Remark, weakened

__all__ = ["Remark", "diff", "explain", "lint"]
_TOPIC: Final = {
    0: "firmware code",
    1: "platform configuration",
    2: "option ROMs",
    3: "their configuration",
    4: "boot applications",
    5: "partition table and hand-over",
    6: "machine states",
    7: "Secure Boot",
    8: "boot commands and command line",
    9: "files the boot loader read",
    10: "IMA",
    11: "unified kernel image",
    12: "its command line and credentials",
    13: "its extensions",
    14: "shim's keys",
}


def lint(profile: FirmwareProfile) -> list[Remark]:
    """What an attacker would thank this profile for, errors first."""
    remarks = [
        *_unmeasured(profile),
        *_named_twice(profile),
        *_unrequired(profile),
        *_loose_secure_boot(profile),
        *_unasked(profile),
        *_wide_claims(profile),
        *weakened(profile),
        *_ima_gaps(profile),
    ]
    return sorted(remarks, key=lambda r: not r.error)


def _unmeasured(profile: FirmwareProfile) -> Iterator[Remark]:
    """What runs after boot and nobody looks at."""
    if profile.ima is None:
        yield Remark(
            True,
            "[ima]",
            "missing: nothing that runs after boot is measured, Framegate's own Python files"
            " included; ship the IMA policy and learn again",
        )
    elif not profile.ima.measured:
        yield Remark(
            True,
            "[ima] measured",
            "missing: a measured python3 says nothing about our code; add measured ="
            ' ["/opt/framegate/"] and the IMA rule that measures it',
        )
    if profile.ima is not None:
        yield from _unrequired_files(profile.ima)


def _unrequired_files(rules: ImaRules) -> Iterator[Remark]:
    """What a list may lack although the machine is only trusted because it is measured (N136)."""
    about, required = "[ima] required", [p.decode() for p in rules.required]
    if IMA_POLICY not in required:
        says = f"{IMA_POLICY} is missing: a machine whose policy measures next to nothing passes"
        yield Remark(True, about, says)
    if not any(p.startswith(AGENT_FOLDER) for p in required):
        says = f"no file under {AGENT_FOLDER}: one of our files, measured, would stand for all"
        yield Remark(True, about, says)
    for path in required:
        if path.encode().startswith(rules.exclude or (b"\0",)):
            yield Remark(True, about, f"{path} lies in a folder from which anything may run")


def _named_twice(profile: FirmwareProfile) -> Iterator[Remark]:
    names = Counter([r.name for r in profile.rules] + [t.name for t in profile.texts])
    for name, count in sorted(names.items()):
        if count > 1:
            says = f"{count} rules have this name: a required one could be met by another"
            yield Remark(True, name, says)


def _unrequired(profile: FirmwareProfile) -> Iterator[Remark]:
    required = {r.pcr for r in profile.rules if r.required}
    for pcr, why in ((0, "any firmware code"), (4, "no boot application")):
        if pcr not in profile.pinned and pcr not in required:
            says = f"nothing is required there: {why} at all would pass"
            yield Remark(True, f"PCR {pcr}", says)


def _loose_secure_boot(profile: FirmwareProfile) -> Iterator[Remark]:
    rules = profile.secure_boot
    if not rules.required:
        says = "false: the machine may start with Secure Boot off"
        yield Remark(False, "[secure_boot] required", says)
    if rules.dbx_minimum is None:
        says = "missing: revocations are pinned by digest and every update of them is an alarm"
        yield Remark(False, "[secure_boot] dbx_minimum", says)
    if rules.required and rules.sbat_minimum is None:
        says = "missing: a boot loader with a known hole that shim would refuse is not noticed"
        yield Remark(False, "[secure_boot] sbat_minimum", says)


def _unasked(profile: FirmwareProfile) -> Iterator[Remark]:
    """What the quote leaves out, or need not show."""
    quoted = set(profile.selection.pcrs)
    if profile.tpm_firmware is None:
        yield Remark(False, "[tpm] firmware", '"any": a TPM with a known hole passes')
    if not {8, 9} & quoted and not {11, 12} & quoted:
        says = "neither 8 and 9 nor 11 and 12: kernel command line and initrd are not appraised"
        yield Remark(False, "pcrs", says)
    if not any(r.required and r.pcr == 5 for r in profile.rules):
        says = "ExitBootServices is not required: whether the firmware handed over is not known"
        yield Remark(False, "PCR 5", says)


def _wide_claims(profile: FirmwareProfile) -> Iterator[Remark]:
    for rule in profile.rules:
        if rule.digests is None:
            yield Remark(False, rule.name, f"claims any event in PCR {rule.pcr}")
    for text in profile.texts:
        for allowed in text.allow:
            yield from _wide_words(text.name, allowed)
    for limit in fields(profile.posture):
        value = getattr(profile.posture, limit.name)
        for each in value if isinstance(value, tuple) else ():
            if each.endswith("*"):
                says = f"{each!r}: whatever begins so passes"
                yield Remark(False, f"[posture] {limit.name}", says)
    for variable in profile.variables:
        for name in variable.names:
            if "*" in name:
                yield Remark(
                    False, variable.name, f"{name!r}: any variable named so may be anything"
                )
    for quirk in sorted(profile.quirks):
        yield Remark(False, quirk, f"granted: {QUIRKS[quirk].allows}")


def _wide_words(name: str, allowed: str) -> Iterator[Remark]:
    """Every `*` of a text that is allowed: an error where it lets whole arguments in (N137)."""
    for word in wildcards(allowed):
        key = word.partition("=")[0]
        if word == ANY_WORDS:
            says = f"{word!r} in {allowed!r} lets arguments be added, such as init=/bin/sh"
        elif key.startswith("*") or ("=" in word and "*" in key):
            says = f"{word!r} in {allowed!r} lets any argument stand there, such as init=sh"
        else:
            says = f"{word!r} in {allowed!r} leaves that word open"
            yield Remark(False, name, says)
            continue
        yield Remark(True, name, says)


def _ima_gaps(profile: FirmwareProfile) -> Iterator[Remark]:
    if profile.ima is None:
        return
    if profile.ima.max_violations:
        says = f"{profile.ima.max_violations}: that many files may have unknown content"
        yield Remark(False, "[ima] max_violations", says)
    for folder in profile.ima.exclude:
        yield Remark(False, "[ima] exclude", f"{folder.decode()}: anything may run from there")


def _digests(rule: EventRule) -> str:
    """How many digests a rule names, in words."""
    if rule.digests is None:
        return "anything"
    return f"{len(rule.digests)} digest" + "s" * (len(rule.digests) > 1)


def explain(profile: FirmwareProfile) -> list[str]:
    """What `profile` demands, a sentence a line."""
    bank = profile.selection.bank.name.lower()
    lines = [
        f"{profile.name} {profile.version}, revision"
        f" {profile.revision}{': ' + profile.description if profile.description else ''}"
    ]
    lines.append(f"For {_kind(profile)}.")
    lines.append(
        f"A quote over {bank} PCR {', '.join(map(str, profile.selection.pcrs))}; the boot log must"
        " replay to exactly these."
    )
    for pcr in profile.selection.pcrs:
        rules = [r for r in profile.rules if r.pcr == pcr]
        texts = [t for t in profile.texts if t.pcr == pcr]
        variables = [n for v in profile.variables if v.pcr == pcr for n in v.names]
        if pcr in profile.pinned:
            lines.append(
                f"PCR {pcr} ({_TOPIC.get(pcr, 'other')}): one of {len(profile.pinned[pcr])} whole"
                " values, by quirk."
            )
            continue
        said = [f"{'must' if r.required else 'may'} hold {r.name} ({_digests(r)})" for r in rules]
        said += [
            f"{'must' if t.required else 'may'} hold {t.name} as"
            f" {' | '.join(t.allow[:3])}{' …' if len(t.allow) > 3 else ''}"
            for t in texts
        ]
        said += [f"may hold any {', '.join(variables)}"] if variables else []
        if said or pcr != IMA_PCR:
            lines.append(
                f"PCR {pcr} ({_TOPIC.get(pcr, 'other')}):"
                f" {'; '.join(said) or 'nothing but the separator'}."
            )
    secure = profile.secure_boot
    lines.append(f"Secure Boot {'must be on' if secure.required else 'may be off'}.")
    if secure.dbx_minimum is not None:
        lines.append(
            f"The revocation list holds at least {len(secure.dbx_minimum)} given hashes; more is"
            " welcome."
        )
    if secure.sbat_minimum is not None:
        lines.append(
            "SBAT generations at least "
            + ", ".join(f"{n} {g}" for n, g in sorted(secure.sbat_minimum.items()))
            + "."
        )
    lines.append(
        "TPM firmware "
        + (
            "of any version."
            if profile.tpm_firmware is None
            else "one of " + ", ".join(f"{v:016x}" for v in sorted(profile.tpm_firmware)) + "."
        )
    )
    if profile.ima is not None:
        ima = profile.ima
        keys = ", ".join(p.decode() for p in ima.signed)
        signed = f", or is signed under {keys}" if keys else ""
        count = len(ima.allowlists)
        lists = "the allowlist" if count == 1 else f"one of {count} allowlists"
        lines.append(
            f"Every measured file stands in {lists}{signed}; "
            f"at most {ima.max_violations} violations; boot_aggregate fits the boot PCRs."
        )
        if ima.required:
            lines.append(f"{len(ima.required)} given files were measured, each as it is listed.")
        if ima.measured:
            lines.append(
                f"Something was measured under {', '.join(p.decode() for p in ima.measured)}."
            )
    limits = [
        f"{f.name} {', '.join(v) if isinstance(v, tuple) else v}"
        for f in fields(profile.posture)
        if (v := getattr(profile.posture, f.name)) not in (None, "", False)
    ]
    lines.append("By the agent's own word: " + "; ".join(limits) + ".")
    lines += [f"Quirk {q}: {QUIRKS[q].allows}." for q in sorted(profile.quirks)]
    return lines + in_sentences(profile.extends)


def diff(old: FirmwareProfile, new: FirmwareProfile) -> list[str]:
    """What `new` demands otherwise than `old`, in words; empty where they mean the same."""
    lines: list[str] = []
    if old.kind != new.kind:
        lines.append(f"is for {_kind(new)} instead of {_kind(old)}")
    if old.selection != new.selection:
        lines.append(
            f"quotes {new.selection.bank.name.lower()} PCR {_set(new.selection.pcrs)} instead of"
            f" {old.selection.bank.name.lower()} PCR {_set(old.selection.pcrs)}"
        )
    same = {(r.pcr, r.digests, r.required) for r in old.rules} & {
        (r.pcr, r.digests, r.required) for r in new.rules
    }  # another name alone is no change
    before, after = (
        {r.name: r for r in p.rules if (r.pcr, r.digests, r.required) not in same}
        for p in (old, new)
    )
    for name in sorted(
        before.keys() | after.keys(), key=lambda n: ((after.get(n) or before[n]).pcr, n)
    ):
        lines += _rule_diff(name, before.get(name), after.get(name))
    told, tells = ({(t.pcr, text) for t in p.texts for text in t.allow} for p in (old, new))
    lines += [f"text in PCR {p}: allows {t!r}" for p, t in sorted(tells - told)] + [
        f"text in PCR {p}: no longer allows {t!r}" for p, t in sorted(told - tells)
    ]
    needed, needs = ({t.pcr for t in p.texts if t.required} for p in (old, new))
    lines += [f"text in PCR {p}: now required" for p in sorted(needs - needed)] + [
        f"text in PCR {p}: no longer required" for p in sorted(needed - needs)
    ]
    free, frees = ({(v.pcr, n) for v in p.variables for n in v.names} for p in (old, new))
    lines += [f"variable {n} in PCR {p} may be anything" for p, n in sorted(frees - free)] + [
        f"variable {n} in PCR {p} may no longer be anything" for p, n in sorted(free - frees)
    ]
    lines += _secure_diff(old, new)
    if old.tpm_firmware != new.tpm_firmware:
        lines.append(f"TPM firmware {_firmware(new)} instead of {_firmware(old)}")
    after_boot = in_sentences(new.extends)
    lines += [f"grants quirk {q}: {QUIRKS[q].allows}" for q in sorted(new.quirks - old.quirks)] + [
        f"no longer grants quirk {q}" for q in sorted(old.quirks - new.quirks)
    ]
    lines += [f"no longer: {line}" for line in in_sentences(old.extends) if line not in after_boot]
    lines += [line for line in after_boot if line not in in_sentences(old.extends)]
    if old.pinned != new.pinned:
        lines.append("other whole PCR values")
    lines += _ima_diff(old, new)
    for field in fields(new.posture):
        a, b = getattr(old.posture, field.name), getattr(new.posture, field.name)
        if a != b:
            lines.append(f"posture {field.name}: {b} instead of {a}")
    return lines


def _rule_diff(name: str, a: EventRule | None, b: EventRule | None) -> list[str]:
    if a is None and b is not None:
        return [f"{name}: new, {'required' if b.required else 'allowed'} in PCR {b.pcr}"]
    if a is not None and b is None:
        return [f"{name}: no longer {'required' if a.required else 'allowed'} in PCR {a.pcr}"]
    if a is None or b is None or a == b:
        return []
    lines = []
    if a.pcr != b.pcr:
        lines.append(f"{name}: in PCR {b.pcr} instead of {a.pcr}")
    gone, come = (
        (a.digests or frozenset()) - (b.digests or frozenset()),
        (b.digests or frozenset()) - (a.digests or frozenset()),
    )
    lines += [f"{name}: allows {d.hex()[:16]}…" for d in sorted(come)] + [
        f"{name}: no longer allows {d.hex()[:16]}…" for d in sorted(gone)
    ]
    if a.required != b.required:
        lines.append(f"{name}: {'now required' if b.required else 'no longer required'}")
    if (a.digests is None) != (b.digests is None):
        lines.append(
            f"{name}: {'claims anything' if b.digests is None else 'claims only given digests'}"
        )
    return lines


def _secure_diff(old: FirmwareProfile, new: FirmwareProfile) -> list[str]:
    a, b, lines = old.secure_boot, new.secure_boot, []
    if a.required != b.required:
        lines.append(f"Secure Boot {'must now be on' if b.required else 'may now be off'}")
    if a.dbx_minimum != b.dbx_minimum:
        was, now = a.dbx_minimum or frozenset(), b.dbx_minimum or frozenset()
        more, less = len(now - was), len(was - now)
        lines.append(f"revocation list, hashes demanded: {more} more, {less} no longer")
    if a.sbat_minimum != b.sbat_minimum:
        lines.append(f"SBAT minimum {_sbat(b.sbat_minimum)} instead of {_sbat(a.sbat_minimum)}")
    return lines


def _sbat(minimum: Mapping[str, int] | None) -> str:
    """As SBAT's own lines have it: component,generation."""
    return " ".join(f"{name},{least}" for name, least in sorted((minimum or {}).items())) or "none"


def _ima_diff(old: FirmwareProfile, new: FirmwareProfile) -> list[str]:
    a, b = old.ima, new.ima
    if (a is None) != (b is None):
        return ["asks for no IMA list any more" if b is None else "asks for the IMA list"]
    if a is None or b is None:
        return []
    lines = []
    if a.allowlists != b.allowlists:
        lines.append(
            f"allowlists {', '.join(d.hex()[:12] for d in b.allowlists)} instead of"
            f" {', '.join(d.hex()[:12] for d in a.allowlists)}"
        )
    for name in ("max_violations", "exclude", "signed", "measured", "required"):
        if getattr(a, name) != getattr(b, name):
            lines.append(f"[ima] {name}: {getattr(b, name)} instead of {getattr(a, name)}")
    if set(a.keys) != set(b.keys):
        lines.append(
            f"[ima] keys: {', '.join(k.hex() for k in sorted(b.keys))} instead of"
            f" {', '.join(k.hex() for k in sorted(a.keys))}"
        )
    return lines


def _set(pcrs: tuple[int, ...]) -> str:
    return ",".join(map(str, pcrs))


def _firmware(profile: FirmwareProfile) -> str:
    return (
        "any"
        if profile.tpm_firmware is None
        else ", ".join(f"{v:016x}" for v in sorted(profile.tpm_firmware))
    )


def _kind(profile: FirmwareProfile) -> str:
    return f"{profile.kind}s alone" if profile.kind is not None else "machines of any kind"
