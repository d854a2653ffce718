"""The one thread that owns the TPM, and the ESAPI calls that everything else is put together from.

ESAPI is not thread-safe and swtpm has three transient slots, so one thread owns the TPM and every
handle is flushed.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Final, TypeVar

import tpm2_pytss as tss
from tpm2_pytss.constants import TPM2_CAP, TSS2_RC

from framegate.errors import Reason, Unavailable
from framegate.tpm.attest import PcrSelection
from framegate.tpm.public import Public, parse_public

T = TypeVar("T")

TRANSIENT_FIRST: Final = 0x80000000
SESSION_FIRST: Final = 0x02000000


_REFERENCE_FIRST: Final = 0x910
_REFERENCE_LAST: Final = 0x916
"""TPM_RC_REFERENCE_H0 to H6: a handle that names a transient object which is not loaded."""
_HANDLE: Final = 0x08B
"""TPM_RC_HANDLE: a handle that is not right for the use; bits 8 to 11 say which one."""
_FORMAT_ONE: Final = 0x0BF
"""The bits of a format-one response code that say what is wrong (TPM 2.0 Part 2, 6.6.2)."""
_RC: Final = 0xFFF
"""The response code itself, without the layer that it came through."""


_IO: Final = 0x0A
"""TSS2_BASE_RC_IO_ERROR: what a connection that broke answers, in whichever layer."""
_LAYERS: Final = 0xFF0000


def is_lost(error: tss.TSS2_Exception) -> bool:
    """Whether the connection broke: what answered is no TPM but a layer above it."""
    code = int(error.rc)
    return bool(code & _LAYERS) and code & _RC == _IO


def is_gone(error: tss.TSS2_Exception) -> bool:
    """Whether the TPM says that a handle names nothing that is loaded: somebody flushed it."""
    if error.rc == TSS2_RC.ESYS_RC_BAD_TR:  # flushed through this very connection
        return True
    code = int(error.rc) & _RC
    return _REFERENCE_FIRST <= code <= _REFERENCE_LAST or code & _FORMAT_ONE == _HANDLE


class TpmFailed(Unavailable):
    """The TPM answered with an error, or not at all."""


class TpmLost(TpmFailed):
    """The connection to the TPM broke: nothing is answered on it any more."""


class Esapi:
    """An open TPM and its owner thread. Only `on_owner` and `close` may be called from other
    threads; everything else is called by the work that `on_owner` runs.
    """

    def __init__(self, tcti: str) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="tpm")
        self._closed = threading.Event()
        self._lost: tss.TSS2_Exception | None = None
        try:
            self.esys: Any = self.on_owner(lambda: tss.ESAPI(tcti))
        except Exception as error:
            self._pool.shutdown()
            raise Unavailable.of(
                Reason.UNAVAILABLE, f"a TPM 2.0 at {tcti}", error, "run framegate-agent doctor"
            ) from error

    def on_owner(self, work: Callable[[], T]) -> T:
        """What `work` returns, run on the owner thread. Blocks. Raises TpmFailed where the TPM
        answers with an error, TpmLost once the connection broke, Unavailable after `close`.
        """
        if self._closed.is_set():
            raise Unavailable.of(Reason.UNAVAILABLE, "an open TPM", "closed")
        try:
            return self._pool.submit(work).result()
        except tss.TSS2_Exception as error:
            if self._lost is None and is_lost(error):
                self._lost = error
            if self._lost is not None:  # whatever is asked next fails for this alone
                broke = f"the connection to it broke ({self._lost})"
                hint = "start the agent again once the TPM answers: framegate-agent doctor"
                raise TpmLost.of(Reason.UNAVAILABLE, "an answer of the TPM", broke, hint) from error
            raise TpmFailed.of(
                Reason.UNAVAILABLE, "an answer of the TPM", error, "framegate-agent doctor"
            ) from error

    def close(self, flush: Callable[[], None]) -> None:
        """Run `flush` as the last work, then let go of the TPM. The platform, not the agent, sends
        TPM2_Shutdown: others use the TPM too.
        """
        if self._closed.is_set():
            return
        self._closed.set()

        def leave() -> None:
            flush()
            self.esys.close()

        try:
            self._pool.submit(leave).result()
        except tss.TSS2_Exception:
            pass  # the TPM went away before us: nothing of ours is left in it
        finally:
            self._pool.shutdown()

    def handles(self, first: int, most: int = 254) -> list[int]:
        """Handles in use from `first` on, in its range."""
        # keep the parent alive while reading: chained access reads freed memory in tpm2-pytss
        capability = self.esys.get_capability(TPM2_CAP.HANDLES, first, most)
        data = capability[1]
        return [int(h) for h in data.data.handles]

    def tpm_property(self, tag: int) -> int:
        """A property of the TPM (TPM 2.0 Part 2, 6.13); 0 where it has none of that tag."""
        # keep the parent alive while reading, as above
        capability = self.esys.get_capability(TPM2_CAP.TPM_PROPERTIES, tag, 1)
        data = capability[1]
        listed = data.data.tpmProperties
        return int(listed[0].value) if len(listed) and int(listed[0].property) == tag else 0

    def clock_ms(self) -> int:
        """Its clock, ms."""
        # keep the parent alive while reading, as above
        now = self.esys.read_clock()
        return int(now.clockInfo.clock)

    def nv_read(self, index: int) -> bytes:
        """The bytes at an NV index, read under its own (empty) authValue."""
        handle = self.esys.tr_from_tpmpublic(index)
        public, _ = self.esys.nv_read_public(handle)
        size, out = int(public.nvPublic.dataSize), b""
        while len(out) < size:
            out += bytes(
                self.esys.nv_read(handle, min(512, size - len(out)), len(out), auth_handle=handle)
            )
        return out

    def primary(self, hierarchy: Any, template: bytes) -> Any:
        """Make a primary key; the caller flushes it."""
        public = tss.TPM2B_PUBLIC(publicArea=tss.TPMT_PUBLIC.unmarshal(template)[0])
        return self.esys.create_primary(tss.TPM2B_SENSITIVE_CREATE(), public, hierarchy)[0]

    def public(self, handle: Any) -> Public:
        """A loaded or persistent object's public area."""
        public, _, _ = self.esys.read_public(handle)
        return parse_public(bytes(public.publicArea.marshal()))

    def pcrs(self, selection: PcrSelection) -> dict[int, bytes]:
        """The present values of the selected PCRs."""
        values: dict[int, bytes] = {}
        for start in range(
            0, len(selection.pcrs), 8
        ):  # TPM2_PCR_Read gives at most eight digests at once
            part = PcrSelection(selection.bank, selection.pcrs[start : start + 8])
            _, _, digests = self.esys.pcr_read(pcr_selection(part))
            values.update({p: bytes(d) for p, d in zip(part.pcrs, digests, strict=True)})
        return values

    @contextmanager
    def flushed(self, handle: Any) -> Iterator[Any]:
        """`handle`, flushed at the end."""
        try:
            yield handle
        finally:
            self.esys.flush_context(handle)

    @contextmanager
    def policy_session(self) -> Iterator[Any]:
        """A policy session, flushed at the end."""
        none = tss.TPMT_SYM_DEF(algorithm=tss.TPM2_ALG.NULL)
        session = self.esys.start_auth_session(
            tss.ESYS_TR.NONE, tss.ESYS_TR.NONE, tss.TPM2_SE.POLICY, none, tss.TPM2_ALG.SHA256
        )
        with self.flushed(session):  # ESYS keeps sessions alive, and swtpm has three
            yield session


def pcr_selection(selection: PcrSelection) -> Any:
    """The selection as ESAPI takes it."""
    return tss.TPML_PCR_SELECTION.parse(
        f"{selection.bank.name.lower()}:{','.join(map(str, selection.pcrs))}"
    )
