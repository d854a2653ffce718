"""A model server's host in a plant: a confidential guest that joins by what its provider says of
its virtual TPM. SIMULATED: chip and provider; the programs are the product.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import load_der_x509_certificate

from framegate_simulators.machine.boot import Firmware, profile_toml
from framegate_simulators.machine.cloud import ChipWorks, manufacture_guest
from framegate_simulators.machine.ima import allowlist_of
from framegate_simulators.plant.plant import Plant
from framegate_simulators.plant.processes import answers, wait_for
from framegate_simulators.plant.site import Site

MODEL: Final = "simulated-backend"
UP_S: Final = 120.0
"""Evidence, certificates and known answers, where several plants share two cores."""


def add_backend_profile(plant: Plant) -> None:
    """The firmware profile of model servers' hosts; before the plant's controller starts."""
    file, allowlist = (plant.folder / f"{MODEL}.{n}" for n in ("toml", "allowlist"))
    file.write_text(profile_toml(Firmware(MODEL), MODEL))
    allowlist.write_bytes(allowlist_of(MODEL, Firmware(MODEL).release))
    state = ("--state", plant.folder / "controller")
    plant.command("framegate-controller", "profile", "add", file, "--allowlist", allowlist, *state)


@dataclass
class Guest:
    """A host of kind backend, called `name`, and the server on it."""

    plant: Plant
    name: str
    works: ChipWorks = field(default_factory=ChipWorks)
    site: Site = field(init=False)

    def __post_init__(self) -> None:
        folder = self.plant.folder / self.name
        folder.mkdir()
        (folder / "delivered").touch()  # no TPM maker delivered it: it has no EK certificate
        self.site = self.plant.add_machine(self.name, "backend", firmware=Firmware(MODEL))
        manufacture_guest(self.site.machine.tpm, self.works)

    @property
    def id(self) -> str:
        """The server's id."""
        return f"backend.line-1.{self.name}"

    @property
    def port(self) -> int:
        """Where gateways ask."""
        return self.plant.gateway_ports(self.site)[0]

    def ask_to_join(self) -> str:
        """`framegate-agent join` with the guest's documents; what it said."""
        p = self.plant
        chain, ticket = (p.folder / f"{self.name}.{n}" for n in ("chain.pem", "ticket"))
        documents = (load_der_x509_certificate(d) for d in self.works.chain())
        chain.write_bytes(b"".join(pem(c) for c in documents))
        if not ticket.exists():
            p.framegate("backend", "invite", self.name, "--profile", MODEL, "--out", ticket)
        argv = ("join", ticket, *p.agent_arguments(self.site), "--endorsement-chain", chain)
        done = p.command("framegate-agent", *argv, check=False)
        return done.stdout + done.stderr

    def trust(self) -> None:
        """The fleet trusts the chip's root."""
        root = self.plant.folder / f"{self.name}.ark.pem"
        root.write_bytes(pem(self.works.root))
        self.plant.framegate("trust", "add-tpm-ca", root)

    def join(self) -> None:
        """Into the fleet, whose people compared the machine's id."""
        self.ask_to_join()
        why = ("--reason", "ours: the VM id was compared")
        self.plant.framegate("backend", "approve", self.name, *why)

    def serve(self, *extra: object) -> None:
        """Start the agent, and the server beside it with these further arguments."""
        p = self.plant
        p.start_agent(self.site)
        socket = p.agent_socket(self.site)
        argv = ("backend", "--agent-socket", socket, "--port", self.port, *extra)
        p.start(f"backend-{self.name}", "framegate-gateway", *argv, "-v")
        wait_for(f"the server on {self.name}", lambda: answers(self.port), UP_S)


def pem(certificate: x509.Certificate) -> bytes:
    """PEM of a certificate."""
    return certificate.public_bytes(Encoding.PEM)
