"""What a controller can be told."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Final, NamedTuple

from framegate.behaviour.deed import Sites, parse_sites
from framegate.cloud.revocations import RevocationList
from framegate.errors import Failure, FramegateError, Reason
from framegate.federation.bundle import MAX_REFRESH_S, MIN_REFRESH_S, REFRESH_S
from framegate.transparency.cosignature import MAX_WITNESSES
from framegate.transparency.note import KeyType, NoteKey, parse_note_key
from framegate_controller.files_that_end import FilesAt
from framegate_controller.registry_address import StoreAt, address_problems
from framegate_controller.revocation_files import read_revocation_lists
from framegate_controller.timing import (
    DEFAULT_INTERVAL_MS,
    MAX_INTERVAL_MS,
    MIN_INTERVAL_MS,
    Timing,
)
from framegate_host.setting_records import Settings
from framegate_host.setting_values import HOST_PORT, MAX_PORT, Form, Setting
from framegate_host.telemetry.listening import (
    MetricsAt,
    MetricsTls,
    TracesTo,
    metrics_problems,
    traces_problems,
)

FLEET_CONNECTIONS: Final = 2_048
"""Every machine and person of a large plant has one."""
MIN_FLEET_CONNECTIONS: Final = 64
"""Operators, a page and a gateway's processes are a dozen each."""
MAX_FLEET_CONNECTIONS: Final = 16_384
"""Some two gigabytes; machines beyond are for another controller."""
MAX_ATTEST_LIMIT: Final = 60_000
"""More than a controller verifies: no limit, for measuring."""
SITE: Final = Form(
    "NAME=NETWORK", r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?=[0-9A-Fa-f:.]+(/[0-9]{1,3})?"
)
POSTGRES: Final = Form("postgresql://USER@HOST/DATABASE", r"postgresql://\S+")
NAME: Final = Form("a name", r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?")
PEER: Final = Form(
    "HOST:JOINPORT:FLEETPORT", r"(\[[0-9A-Fa-f:.]+\]|[^\s:/,\[\]]+):[0-9]{1,5}:[0-9]{1,5}"
)
COSIGNER: Final = Form("KEY@URL", r"[^\s+]+\+[0-9a-f]{8}\+[A-Za-z0-9+/=]+@https?://\S+")
ORIGIN: Final = Form(
    "https://host or https://host:port, lower case",
    r"https://[a-z0-9][a-z0-9.-]{0,252}(:[0-9]{1,5})?",
)
_EVERYWHERE: Final = frozenset({"0.0.0.0", "::"})  # noqa: S104 - asked about, not bound


class Cosigner(NamedTuple):
    """A witness of the log of decisions: its key, and the prefix that heads are sent to."""

    key: NoteKey
    address: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ControllerSettings(Settings):
    """Where a controller keeps its state, where it listens, and whom it asks about people."""

    PROGRAM: ClassVar[str] = "controller"
    KEPT: ClassVar[tuple[str, ...]] = ("store", "store_password_file")
    """Where the registry of this folder is, as `init`, `restore` or `store move` was told."""

    state: Annotated[Path, Setting("Folder of the controller's keys and registry.")] = Path(
        "/var/lib/framegate-controller"
    )
    store: Annotated[
        str,
        Setting(
            "Where the registry is: postgresql://USER@HOST/DATABASE, which several controllers may "
            "share; default: a file in the folder.",
            form=POSTGRES,
            example="postgresql://framegate@db.example.net/framegate?sslmode=verify-full",
            instead="--store-password-file FILE",
        ),
    ] = ""
    store_password_file: Annotated[
        Path | None,
        Setting(
            "The password of that database, where it asks for one.",
            there="file",
            example=Path("/etc/framegate/store-password"),
        ),
    ] = None
    name: Annotated[
        str,
        Setting(
            "What this controller calls itself; of several on one store each its own.", form=NAME
        ),
    ] = "controller-1"
    host: Annotated[str, Setting("Address to listen on.")] = "127.0.0.1"
    advertise: Annotated[
        str, Setting("Host that tickets name; default: --host.", example="controller.example.net")
    ] = ""
    join_port: Annotated[
        int,
        Setting("Where machines join and people sign in; 0: any free one.", least=0, most=MAX_PORT),
    ] = 7443
    fleet_port: Annotated[
        int,
        Setting(
            "Where machines attest and operators call; 0: any free one.", least=0, most=MAX_PORT
        ),
    ] = 7444
    peer: Annotated[
        tuple[str, ...],
        Setting(
            "Another controller of this store, as HOST:JOINPORT:FLEETPORT; tickets and sign-ins "
            "name it too.",
            form=PEER,
            example=("controller-2.example.net:7443:7444",),
        ),
    ] = ()
    fleet_connections: Annotated[
        int,
        Setting(
            "Connections to the fleet port at once, one for each machine and person; each takes "
            "three open files and some 110 KiB.",
            least=MIN_FLEET_CONNECTIONS,
            most=MAX_FLEET_CONNECTIONS,
        ),
    ] = FLEET_CONNECTIONS
    attest_interval: Annotated[
        float,
        Setting(
            "How often a machine attests; other deadlines follow.",
            unit="s",
            least=MIN_INTERVAL_MS / 1000,
            most=MAX_INTERVAL_MS / 1000,
        ),
    ] = DEFAULT_INTERVAL_MS / 1000
    attest_limit: Annotated[
        int,
        Setting(
            "Attestations a minute that one machine may ask for; 0: four an interval, at least 12.",
            least=0,
            most=MAX_ATTEST_LIMIT,
        ),
    ] = 0
    ready_file: Annotated[
        Path | None,
        Setting(
            "Written as JSON once both ports are open.",
            example=Path("/run/framegate/controller.json"),
        ),
    ] = None
    passphrase_file: Annotated[
        Path | None,
        Setting(
            "What the key files are encrypted with; default: a file beside them, made by init.",
            variable="FRAMEGATE_KEY_PASSPHRASE_FILE",
            example=Path("/etc/framegate/passphrase"),
        ),
    ] = None
    witness: Annotated[
        tuple[Path, ...],
        Setting(
            "A file that gets every signed head of the log, best on another machine's disk.",
            example=(Path("/mnt/witness/heads"),),
        ),
    ] = ()
    cosigner: Annotated[
        tuple[str, ...],
        Setting(
            "A witness of the log of decisions, as KEY@URL: framegate witness init prints the key.",
            form=COSIGNER,
            example=(
                "witness.example.net+0c7ffe41+BAwtU0Vv1Sdf6rPjQ8TUIdYySIPq0DR4sJ4Yfyd5wlyn"
                "@http://witness.example.net:7480",
            ),
        ),
    ] = ()
    require_cosigned: Annotated[
        int,
        Setting(
            "Cosignatures that a head of that log needs before machines are shown it; machines "
            "may demand more.",
            least=1,
            most=MAX_WITNESSES,
        ),
    ] = 1
    snp_revocations: Annotated[
        tuple[Path, ...],
        Setting(
            "A revocation list (CRL) of AMD's, which chips of confidential guests are held against "
            "when they join; read each time. Where one is given, each root needs its own.",
            there="file",
            example=(Path("/etc/framegate/milan.crl"),),
        ),
    ] = ()
    oidc_issuer: Annotated[
        str,
        Setting(
            "An OpenID Connect provider's issuer, for framegate login --oidc.",
            example="https://login.example.net",
        ),
    ] = ""
    oidc_client_id: Annotated[str, Setting("This fleet's client there.", example="framegate")] = ""
    oidc_client_secret_file: Annotated[
        Path | None,
        Setting(
            "Its secret, where it is a confidential client.",
            there="file",
            example=Path("/etc/framegate/oidc-secret"),
        ),
    ] = None
    oidc_ca: Annotated[
        Path | None,
        Setting(
            "PEM of the provider's CA, where it is not a public one.",
            there="file",
            example=Path("/etc/framegate/oidc-ca.pem"),
        ),
    ] = None
    oidc_device_code: Annotated[
        bool,
        Setting(
            "Let people without a browser sign in with a device code. Whoever is talked into "
            "entering a stranger's code signs the stranger in: only where it is needed."
        ),
    ] = False
    console: Annotated[
        tuple[str, ...],
        Setting(
            "Address of a web console, as browsers have it: security keys and the provider's "
            "answers are taken from there, too.",
            form=ORIGIN,
            example=("https://console.plant.framegate:8443",),
        ),
    ] = ()
    site: Annotated[
        tuple[str, ...],
        Setting(
            "A site and a network of it, for rules of behaviour: NAME=NETWORK.",
            form=SITE,
            example=("north=10.1.0.0/16",),
        ),
    ] = ()
    bundle_at: Annotated[
        str,
        Setting(
            "Show this fleet's trust bundle there, for other sites (https_spiffe). Default: not.",
            form=HOST_PORT,
            example="0.0.0.0:7450",
        ),
    ] = ""
    bundle_refresh: Annotated[
        int,
        Setting(
            "How often other sites are to fetch it.",
            unit="s",
            least=MIN_REFRESH_S,
            most=MAX_REFRESH_S,
        ),
    ] = REFRESH_S
    unconfined: Annotated[
        bool,
        Setting(
            "Serve sinks, join port and bundle even where the kernel cannot confine their"
            " processes; the log says so."
        ),
    ] = False
    all_processors: Annotated[
        bool,
        Setting(
            "Let threads run on all processors; otherwise they stay together on one, chosen anew "
            "every few seconds: Python runs one at a time, and handing over costs less there."
        ),
    ] = False
    metrics: MetricsAt = ""
    metrics_tls: MetricsTls = None
    traces: TracesTo = ""
    verbose: Annotated[bool, Setting("Log what goes on.", short="-v")] = False

    def problems(self) -> Iterator[Failure]:
        """An address that cameras reach; a provider and what we are there; who reads metrics."""
        yield from metrics_problems(self, self.metrics, self.metrics_tls)
        yield from traces_problems(self, self.traces)
        if self.store_password_file and not self.store:
            yield self.beside("store", "--store-password-file")
        yield from address_problems(self.store)
        try:
            _ = self.sites
        except ValueError as error:
            wanted = "--site: NAME=NETWORK, no name twice for one network, none called outside"
            yield Failure(Reason.USAGE, wanted, str(error), "--site north=10.1.0.0/16")
        yield from self._cosigner_problems()
        try:
            self.revocation_lists()
        except FramegateError as error:
            yield error.failures[0]
        if self.host in _EVERYWHERE and not self.advertise:
            hint = "name the address that cameras reach"
            yield self.beside("advertise", f"--host {self.host}", hint)
        if self.peer and not self.store:
            yield self.beside("store", "--peer")
        if self.oidc_issuer and not self.oidc_client_id:
            yield self.beside("oidc_client_id", "--oidc-issuer")
        if not self.oidc_issuer and (
            self.oidc_client_id
            or self.oidc_client_secret_file
            or self.oidc_ca
            or self.oidc_device_code
        ):
            yield self.beside("oidc_issuer", "settings of a provider")

    def _cosigner_problems(self) -> Iterator[Failure]:
        try:
            keys = {c.key.public for c in self.cosigners if c.key.kind == KeyType.COSIGNATURE}
        except FramegateError as error:
            yield error.failures[0]
            return
        if len(keys) < len(self.cosigner):
            wanted, hint = "--cosigner: keys of witnesses, each once", "framegate witness init"
            yield Failure(Reason.USAGE, wanted, "a log's key, or one twice", hint)
        if self.cosigner and self.require_cosigned > len(self.cosigner):
            wanted = f"at least {self.require_cosigned} witnesses, as --require-cosigned says"
            yield Failure(Reason.USAGE, wanted, str(len(self.cosigner)), "--cosigner KEY@URL")

    @property
    def cosigners(self) -> tuple[Cosigner, ...]:
        """The witnesses of the log of decisions. Raises Malformed."""
        pairs = [text.split("@http", 1) for text in self.cosigner]
        return tuple(Cosigner(parse_note_key(key), "http" + rest) for key, rest in pairs)

    def revocation_lists(self) -> tuple[RevocationList, ...]:
        """What makers of chips took back, as the files say now. Raises Malformed, Unavailable."""
        return read_revocation_lists(self.snp_revocations)

    @property
    def files(self) -> FilesAt:
        """Files on this host that end by themselves."""
        return FilesAt(
            state=self.state,
            revocations=self.snp_revocations,
            metrics_tls=self.metrics_tls,
            oidc_ca=self.oidc_ca,
        )

    @property
    def store_at(self) -> StoreAt:
        """Where the registry is."""
        return StoreAt(self.state, self.store, self.store_password_file)

    @property
    def sites(self) -> Sites:
        """Which networks are of which site. Raises ValueError."""
        return parse_sites(self.site)

    @property
    def advertised(self) -> str:
        """The host that tickets name."""
        return self.advertise or self.host

    def also_joins(self) -> list[str]:
        """Join ports of the other controllers."""
        return [f"{host}:{join}" for host, join, _ in (b.rsplit(":", 2) for b in self.peer)]

    def also_fleets(self) -> list[str]:
        """Their fleet ports."""
        return [f"{host}:{fleet}" for host, _, fleet in (b.rsplit(":", 2) for b in self.peer)]

    @property
    def timing(self) -> Timing:
        """Every deadline that follows from the interval."""
        return Timing(int(self.attest_interval * 1000))

    @property
    def witnesses(self) -> tuple[Path, ...]:
        """Every file that gets the record's heads; one is in `state`."""
        return (self.state / "log-heads", *self.witness)
