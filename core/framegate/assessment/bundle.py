"""The folder that an auditor gets: the record with its signed head, a proof of each entry that is
named, what was worked out of it, and how, so that everything can be worked out again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from framegate.assessment import fact
from framegate.assessment.check import Checked, catalogue
from framegate.assessment.facts import facts
from framegate.assessment.finding import compliance_findings
from framegate.assessment.framework import Claimed, frameworks
from framegate.assessment.maturity import Assessed, ztmm
from framegate.assessment.oscal import RECORD, assessment_results, component_definition
from framegate.assessment.page import claims_page
from framegate.assessment.reading import two_person_verbs
from framegate.assessment.standing import Standing
from framegate.assessment.statement import STAGES
from framegate.record.merkle import data_tree
from framegate.wire import sha256

FORMAT: Final = "framegate-assessment-1"


def bundle(standing: Standing, export: bytes, entries: Sequence[bytes]) -> dict[str, bytes]:
    """Name to content of every file but the fleet's root certificate. `export` is the record's, of
    which `entries` are those under its last head; the caller MUST have verified it.
    """
    digest = sha256(export).hex()
    findings = "".join(json.dumps(f, sort_keys=True) + "\n" for f in compliance_findings(standing))
    return {
        RECORD: export,
        "proofs.json": _json(_proofs(standing, entries)),
        "catalogue.json": _json(described()),
        "results.json": _json(results(standing, digest)),
        "component-definition.json": _json(component_definition(standing)),
        "assessment-results.json": _json(assessment_results(standing, digest)),
        "findings.jsonl": findings.encode(),
        "page.html": claims_page(standing).encode(),
    }


def results(standing: Standing, record_sha256: str = "") -> dict[str, Any]:
    """Everything that was worked out, as data."""
    return {
        "format": FORMAT,
        "fleet": standing.fleet,
        "entries": standing.size,
        "record_sha256": record_sha256,
        "at_ms": standing.at_ms,
        "expires_ms": standing.expires_ms,
        "checks": {name: _checked(c) for name, c in standing.checked.items()},
        "functions": {a.function.name: _assessed(a) for a in standing.functions},
        "pillars": {
            p.name: {
                "stage": p.stage.word if p.stage is not None else None,
                "assessed": p.assessed,
                "not_assessed": p.not_assessed,
            }
            for p in standing.pillars
        },
        "claims": {
            name: {c.claim.name: _claimed(c) for c in claims}
            for name, claims in standing.claims.items()
        },
    }


def _checked(checked: Checked) -> dict[str, Any]:
    shown = checked.fact
    return {
        "status": checked.status.value,
        "fact": shown.name,
        "value": shown.value,
        "part": shown.part,
        "whole": shown.whole,
        "limit": checked.check.limit,
        "against": list(shown.against),
        "entries": list(shown.entries),
        "next": checked.check.following,
    }


def _assessed(assessed: Assessed) -> dict[str, Any]:
    said = assessed.said
    return {
        "title": assessed.function.title,
        "stage": assessed.stage.word if assessed.stage is not None else None,
        "checks": list(assessed.function.checks),
        "wanting": [c.check.name for c in assessed.wanting],
        "not_shown": assessed.function.more,
        "said_by": said.by if said is not None else None,
        "said_in": said.index if said is not None else None,
    }


def _claimed(claimed: Claimed) -> dict[str, Any]:
    claim, said = claimed.claim, claimed.said
    return {
        "status": claimed.status.value,
        "control": claim.control,
        "supports": claim.supports,
        "customer": claim.customer,
        "checks": list(claim.checks),
        "said_by": said.by if said is not None else None,
        "said_in": said.index if said is not None else None,
    }


def described() -> dict[str, Any]:
    """How everything was worked out: facts, checks, functions, claims, with their versions."""
    known = catalogue()
    return {
        "format": FORMAT,
        "facts": {n: {"unit": d.unit.value, "says": d.says} for n, d in facts().items()},
        "most_entries": fact.MAX_ENTRIES,
        "two_person_verbs": sorted(two_person_verbs()),
        "checks": {
            "version": known.version,
            "reviewed": known.reviewed,
            "reviewer": known.reviewer,
            "valid_ms": known.valid_ms,
            "check": {
                n: {"fact": c.fact, "least": c.least, "most": c.most, "empty": c.empty.value}
                for n, c in known.checks.items()
            },
        },
        "ztmm": {
            "version": ztmm().version,
            "reviewed": ztmm().reviewed,
            "reviewer": ztmm().reviewer,
            "function": {
                f.name: {STAGES[s]: list(names) for s, names in f.stages.items()}
                for f in ztmm().functions
            },
        },
        "frameworks": {
            name: {
                "title": f.title,
                "version": f.version,
                "mapping": f.mapping,
                "reviewed": f.reviewed,
                "reviewer": f.reviewer,
                "claim": {c.name: list(c.checks) for c in f.claims},
            }
            for name, f in frameworks().items()
        },
    }


def _proofs(standing: Standing, entries: Sequence[bytes]) -> dict[str, Any]:
    tree = data_tree(entries)
    return {
        "size": tree.size,
        "root": tree.root.hex(),
        "paths": {
            str(index): [p.hex() for p in tree.path(index)]
            for index in standing.entries
            if index < tree.size
        },
    }


def _json(value: Mapping[str, Any]) -> bytes:
    return (json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()
