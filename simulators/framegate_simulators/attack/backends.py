"""N213 and N214: hosts of model servers: what vouches for a virtual TPM, and who may ask for a
server's certificates.
"""

from __future__ import annotations

from cryptography.hazmat.primitives.serialization import Encoding

from framegate_gateway.trust.keys import GatewayKeys
from framegate_simulators.attack.target import Seen, Target, attempt
from framegate_simulators.machine.cloud import ChipWorks, InstanceWorks


@attempt(
    "N213",
    "a virtual TPM vouched for by a chip of no known maker, by one that brings its own root, by a"
    " report with a byte changed, by an unknown certifier of instances",
)
def n213(t: Target) -> Seen:
    works = ChipWorks()
    root = works.root.public_bytes(Encoding.DER)
    seen = []
    for number in range(4):
        forge = t.forge("gateway")
        if number == 3:
            forge.with_instance(InstanceWorks())
        else:
            report, *chain = forge.with_hcl_report(works).iak_certificates
            if number == 1:
                chain.append(root)
            if number == 2:
                report = report[:40] + bytes([report[40] ^ 1]) + report[41:]
            forge.iak_certificates = (report, *chain)
        code, _ = t.invite()
        seen.append(t.join(forge, code).seen)
    return _all(seen)


@attempt("N214", "a camera that asks for a model server's certificates with its evidence")
def n214(t: Target) -> Seen:
    seen = []
    for _ in range(2):
        forge = t.forge()
        forge.publics = (GatewayKeys("127.0.0.1:1", "", bytes(32)).newest.publics,)
        seen.append(t.try_join(forge))
    return _all(seen)


def _all(seen: list[Seen]) -> Seen:
    return Seen(all(s.refused for s in seen), "; ".join(dict.fromkeys(s.reason for s in seen)))
