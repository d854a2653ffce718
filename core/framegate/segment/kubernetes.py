"""A segment as Kubernetes NetworkPolicy (networking.k8s.io/v1) and CiliumNetworkPolicy
(cilium.io/v2): pods by the labels `framegate.io/zone` and `framegate.io/trust`, machines outside by
their addresses.

What a policy does to connections that stand is up to the network plugin, and several let them run:
the gateway closes a session by itself when trust ends. Staged and observed conduits are left out of
what is enforced, as neither kind of policy has a verdict for them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from framegate.segment.policy import Conduit, End, Mode, Segment

ZONE_LABEL: Final = "framegate.io/zone"
TRUST_LABEL: Final = "framegate.io/trust"
TRUSTED: Final = "trusted"
_MADE: Final = {"app.kubernetes.io/managed-by": "framegate"}


def network_policies(segment: Segment, namespace: str) -> list[dict[str, Any]]:
    """Default deny of the namespace in both directions, then for each enforced conduit a policy for
    either end.
    """
    deny = {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    policies = [_policy(f"{segment.name}-default-deny", namespace, deny)]
    for conduit in _enforced(segment):
        port = [{"protocol": conduit.transport.upper(), "port": conduit.port}]
        near, far = _labels(conduit, End.FROM), _labels(conduit, End.TO)
        into = {
            "podSelector": {"matchLabels": far},
            "policyTypes": ["Ingress"],
            "ingress": [{"from": _peers(segment, conduit.source, near), "ports": port}],
        }
        out = {
            "podSelector": {"matchLabels": near},
            "policyTypes": ["Egress"],
            "egress": [{"to": _peers(segment, conduit.destination, far), "ports": port}],
        }
        name = f"{segment.name}-{conduit.name}"
        policies += [_policy(f"{name}-in", namespace, into), _policy(f"{name}-out", namespace, out)]
    return policies


def cilium_policies(segment: Segment, namespace: str) -> list[dict[str, Any]]:
    """The same for Cilium; that an endpoint is selected denies it everything else."""
    policies: list[dict[str, Any]] = []
    for conduit in _enforced(segment):
        port = [{"ports": [{"port": str(conduit.port), "protocol": conduit.transport.upper()}]}]
        near, far = _labels(conduit, End.FROM), _labels(conduit, End.TO)
        into = {
            "endpointSelector": {"matchLabels": far},
            "ingress": list(_cilium(segment, conduit.source, near, "from", port)),
        }
        out = {
            "endpointSelector": {"matchLabels": near},
            "egress": list(_cilium(segment, conduit.destination, far, "to", port)),
        }
        name = f"{segment.name}-{conduit.name}"
        policies += [
            _cilium_policy(f"{name}-in", namespace, into),
            _cilium_policy(f"{name}-out", namespace, out),
        ]
    return policies


def _enforced(segment: Segment) -> list[Conduit]:
    return [c for c in segment.conduits.values() if c.mode is Mode.ENFORCE]


def _labels(conduit: Conduit, end: End) -> dict[str, str]:
    zone = conduit.source if end is End.FROM else conduit.destination
    trusted = {TRUST_LABEL: TRUSTED} if end in conduit.trust else {}
    return {ZONE_LABEL: zone, **trusted}


def _hosts(segment: Segment, zone: str) -> list[str]:
    """Machines outside the cluster that nobody attests, as CIDRs. Devices are not among them: an
    address is no proof, and no policy here is told when one is lost.
    """
    hosts = (b for b in segment.bindings if b.zone == zone and b.host)
    return [f"{a}/{a.max_prefixlen}" for b in hosts for a in b.addresses]


def _peers(segment: Segment, zone: str, labels: dict[str, str]) -> list[dict[str, Any]]:
    outside = [{"ipBlock": {"cidr": cidr}} for cidr in _hosts(segment, zone)]
    return [{"podSelector": {"matchLabels": labels}}, *(outside if _open(labels) else [])]


def _cilium(
    segment: Segment, zone: str, labels: dict[str, str], way: str, port: list[dict[str, Any]]
) -> Iterator[dict[str, Any]]:
    yield {f"{way}Endpoints": [{"matchLabels": labels}], "toPorts": port}
    cidrs = _hosts(segment, zone) if _open(labels) else []
    if cidrs:
        yield {f"{way}CIDR": cidrs, "toPorts": port}


def _open(labels: dict[str, str]) -> bool:
    return TRUST_LABEL not in labels


def _policy(name: str, namespace: str, spec: dict[str, Any]) -> dict[str, Any]:
    return _manifest("networking.k8s.io/v1", "NetworkPolicy", name, namespace, spec)


def _cilium_policy(name: str, namespace: str, spec: dict[str, Any]) -> dict[str, Any]:
    return _manifest("cilium.io/v2", "CiliumNetworkPolicy", name, namespace, spec)


def _manifest(
    version: str, kind: str, name: str, namespace: str, spec: dict[str, Any]
) -> dict[str, Any]:
    return {
        "apiVersion": version,
        "kind": kind,
        "metadata": {"name": name, "namespace": namespace, "labels": dict(_MADE)},
        "spec": spec,
    }
