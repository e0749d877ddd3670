"""The two trees of what can go wrong: Error (we could not tell) and Failure (the program is wrong).

Every message is one line: what happened, to what, and what to try.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable


class Error(Exception):
    """Say that the tool, its input or the machine is at fault: nothing is known about the program.

    Commands exit with code 2.
    """


class CompileError(Error):
    """Report that clang refused a source.

    `source` is the path as given, `diagnostics` is clang's own text, whole.
    """

    def __init__(self, message: str, *, source: str = "", diagnostics: str = "") -> None:
        super().__init__(message)
        self.source = source
        self.diagnostics = diagnostics


class LoadError(Error):
    """Report that an object could not be opened or loaded; `log` is what libbpf said, whole."""

    def __init__(self, message: str, *, log: str = "") -> None:
        super().__init__(message)
        self.log = log


class VerifierError(LoadError):
    """Report that the kernel's verifier refused a program.

    `summary` is the line that matters, `log` the whole log, `statistics` what the verifier
    counted before it gave up. `str()` is one line; `explain()` shows the C lines on the way.
    """

    def __init__(
        self,
        message: str,
        *,
        log: str = "",
        summary: str = "",
        statistics: object = None,
        explanation: str = "",
    ) -> None:
        super().__init__(message, log=log)
        self.summary = summary
        self.statistics = statistics
        self._explanation = explanation

    def explain(self) -> str:
        """Tell the last steps to the refused instruction, with their lines of C."""
        return self._explanation or self.log


class Unsupported(Error):
    """Say that this kernel or machine lacks `feature`, and the `reason` that shows it.

    The pytest plugin turns it into a skip; `--bpf-require` turns the skip into a failure.
    """

    def __init__(self, feature: str, reason: str) -> None:
        super().__init__(f"{feature} is not supported here: {reason}")
        self.feature = feature
        self.reason = reason


class PermissionDenied(PermissionError, Error):
    """Say that the kernel forbids this to us, and the `capability` that is missing."""

    def __init__(self, message: str, *, capability: str = "") -> None:
        super().__init__(message)
        self.capability = capability


class InputRefused(ValueError, Error):
    """Say why this frame or context cannot be given to this program on this kernel."""


class CodecError(TypeError, Error):
    """Say why this Python value does not fit that BTF type."""


class MapError(Error):
    """Report that a map refused an operation: it is full, of another kind, or the key is absent."""


class NoSuchName(AttributeError, KeyError, Error):
    """Say that an object has no map, program, global or field of that name, and the nearest ones.

    It is an AttributeError and a KeyError, so `hasattr()` and `get()` behave as usual.
    """

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""


class NotFound(FileNotFoundError, Error):
    """Say that a file that was named is not there."""


class ToolMissing(Error):
    """Say that clang, an LLVM tool or a library is missing, and how to get it."""


class CaptureError(ValueError, Error):
    """Say what is wrong with a capture file: its packet number and what to do."""


class PolicyError(Error):
    """Say what is wrong in a policy: the `file`, the `key`, and what was `allowed`."""

    def __init__(self, message: str, *, file: str = "", key: str = "", allowed: str = "") -> None:
        super().__init__(message)
        self.file = file
        self.key = key
        self.allowed = allowed


class InternalError(Error):
    """Report a fault of packetrig itself; please report it."""

    def __init__(self, message: str) -> None:
        super().__init__(f"{message} (this is a fault of packetrig: please report this)")


class Failure(AssertionError):
    """Say that the program under test is wrong. Commands exit with code 1.

    `check` names what was violated, `packet` is the frame (bytes), `run` what came out, and
    `repeat` is the command that shows it again. A message that takes long to write may be given
    as a function: of the hundreds of failures on the way to the smallest packet, one is read.
    """

    def __init__(
        self,
        message: str | Callable[[], str],
        *,
        check: str = "",
        packet: bytes = b"",
        run: object = None,
        repeat: str = "",
    ) -> None:
        super().__init__(*([message] if isinstance(message, str) else []))
        self._message = message
        self.check = check
        self.packet = packet
        self.run = run
        self.repeat = repeat

    def __str__(self) -> str:
        if not isinstance(self._message, str):
            self._message = self._message()
        return self._message


def no_such(what: str, name: str, names: Iterable[str], *, owner: str = "the object") -> NoSuchName:
    """Build the error for a wrong name: it lists what there is, the nearest first."""
    have = list(names)
    if not have:
        return NoSuchName(f"no {what} named '{name}'; {owner} has none")
    near = difflib.get_close_matches(name, have, n=1)
    hint = f", did you mean '{near[0]}'?" if near else ""
    return NoSuchName(f"no {what} named '{name}'{hint}; {owner} has: {', '.join(have)}")
