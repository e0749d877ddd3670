"""What a run is asked for beside its frame: checked, and written as the kernel wants it."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from . import refusals
from ._bpf.contexts import LAYOUTS, encode, hook_state
from .errors import InputRefused

if TYPE_CHECKING:
    from .program import Program

_DATA_END = 80  # in struct __sk_buff


class Asked(NamedTuple):
    """Hold the arguments of `Program.run` but for the packet."""

    ctx: Mapping[str, Any] | bytes | None
    meta: bytes
    repeat: int
    checksum_complete: bool
    redirect: bool
    linear: int | None
    cpu: int | None

    def check(self, program: Program, size: int) -> None:
        """Say why a run that is asked for cannot be, before the kernel is asked.

        Raises:
            InputRefused: The frame, or what is asked for, is none for this program.
            Unsupported: It could be, on another kernel.
        """
        name, kind, meta = program.name, program.kind, self.meta
        if not isinstance(meta, bytes | bytearray):
            raise InputRefused(f"{name}: meta= takes bytes, got {meta!r:.60}")
        has_frags = program.has_frags
        reason = refusals.before(kind, size, has_frags=has_frags, meta=len(meta)) or (
            refusals.meta_reason(kind, meta) if meta else ""
        )
        reason = reason or refusals.repeat_reason(kind, self.repeat)
        if not reason and self.checksum_complete:
            reason = refusals.checksum_reason(kind)
        if not reason and self.linear is not None:
            reason = refusals.linear_reason(kind, self.linear, size, has_frags=has_frags)
        if reason:
            raise InputRefused(f"{name}: {reason}")

    def context(self, program: Program, frame: bytes, *, always: bool) -> bytes:
        """Write the context's bytes: fields by name, and XDP's three pointers always.

        Args:
            program: The one that is run.
            frame: The frame that it is run on.
            always: Give an XDP program a context even where nothing is asked for.
        """
        ctx, meta, name, kind = self.ctx, self.meta, program.name, program.kind
        if isinstance(ctx, bytes | bytearray):
            if kind in LAYOUTS:
                raise InputRefused(f"{name}: ctx= takes fields by name: {{'mark': 5}}")
            if len(ctx) > 512:
                raise InputRefused(f"{name}: ctx of {len(ctx)} bytes: it takes at most 512")
            return bytes(ctx)
        if ctx is not None and not isinstance(ctx, Mapping):
            raise InputRefused(f"{name}: ctx= takes a dict of fields, got {ctx!r}")
        if kind not in LAYOUTS or (kind == "flow_dissector" and not ctx):
            if ctx:
                raise InputRefused(f"{name}: a {kind} program takes its ctx as bytes")
            return hook_state(frame) if kind == "netfilter" else b""
        raw = encode(kind, ctx or {}, frame_size=len(frame))
        if kind == "xdp":
            if not (ctx or meta or always or self.linear is not None):
                return b""
            # Zero in data_end would be an empty linear area: everything passes, nothing is tested.
            linear = len(frame) if self.linear is None else self.linear
            linear = min(linear + len(meta), refusals.limits().xdp_linear)
            struct.pack_into("=3I", raw, 0, len(meta), linear, 0)
        elif self.linear is not None:
            struct.pack_into("=I", raw, _DATA_END, self.linear)
        return bytes(raw)
