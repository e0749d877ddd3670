"""The entry point: finds the subcommand, and turns what goes wrong into an exit code and a line."""

from __future__ import annotations

import errno
import importlib
import os
import sys
import traceback
from collections.abc import Sequence
from enum import IntEnum

import click

from ..errors import CompileError, Error, Failure, InternalError, VerifierError
from . import console

# Each is a module beside this one, with the click command as `command`.
COMMANDS = {
    "doctor": "Say what this machine and kernel can do, and what to do about the rest.",
    "run": "Run a program on packets and print the verdict of each.",
    "fuzz": "Search for packets that a program handles wrongly.",
    "replay": "Run a finding again: FIXED, FAILS or ERROR.",
    "corpus": "Merge and minimise the frames that campaigns keep.",
    "bench": "Measure what a packet costs in a program.",
    "gate": "Decide whether objects may be deployed, by a policy.",
    "matrix": "Run a command on other kernels and with other compilers, in one table.",
    "init": "Make a new project, whose program passes its own gate.",
    "verify-evidence": "Recompute what evidence says about an object.",
    "attach": "Attach a program to a real interface, with a way back.",
    "status": "Say what is attached where, by whom, and the way back.",
    "detach": "Put back what was there before.",
    "shadow": "Say what a new program would have done with live traffic.",
}


# Those that compile, and so keep what they compiled.
_COMPILING = ("run", "fuzz", "replay", "corpus", "bench", "gate", "shadow")


class Exit(IntEnum):
    """Name the exit codes, the same for every command."""

    HELD = 0
    REFUSED = 1
    UNDECIDED = 2
    INTERRUPTED = 130
    BROKEN_PIPE = 141


class _Commands(click.Group):
    def invoke(self, context: click.Context) -> object:
        try:
            return super().invoke(context)
        except (CompileError, VerifierError) as e:
            if context.params["verbose"]:
                console.detail(_all_of(e))
            raise

    def list_commands(self, _: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, _: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        found = importlib.import_module(f".{name.replace('-', '_')}", __package__).command
        return found if isinstance(found, click.Command) else None

    def format_commands(self, _: click.Context, formatter: click.HelpFormatter) -> None:
        # click would import every command to ask it what it does.
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.command(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="packetrig", message="%(prog)s %(version)s")
@click.option("-v", "--verbose", is_flag=True, help="Show all that clang or the verifier said.")
@click.pass_context
def packetrig(context: click.Context, verbose: bool) -> None:  # noqa: ARG001  # _Commands reads it
    """Test XDP and TC programs on the real kernel, before they see a real interface.

    Exit codes: 0 held, 1 refused (the program is wrong), 2 undecided (it could not be told).
    """
    if context.invoked_subcommand in _COMPILING:
        toolchain = importlib.import_module("..toolchain", __package__)
        if told := toolchain.elsewhere(os.environ):
            console.complain(told)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code; nothing but SystemExit's kin escapes."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        # Not packetrig.main(): click exits with 1, which here means refused, when a pipe is closed.
        try:
            with packetrig.make_context("packetrig", words) as context:
                code = packetrig.invoke(context)
        except click.exceptions.Exit as e:  # --help, --version
            code = e.exit_code
        sys.stdout.flush()
    except BrokenPipeError:
        console.close_quietly()
        return Exit.BROKEN_PIPE
    except (KeyboardInterrupt, click.Abort):
        console.complain("interrupted")
        return Exit.INTERRUPTED
    except Failure as e:
        line, _, rest = str(e).partition("\n")
        console.complain(line)
        if rest:
            console.detail(rest)
        return Exit.REFUSED
    except click.exceptions.NoArgsIsHelpError as e:
        console.detail(e.format_message())
        return Exit.UNDECIDED
    except click.ClickException as e:
        console.complain(_usage(e))
        return Exit.UNDECIDED
    except Error as e:
        _explain(e)
        return Exit.UNDECIDED
    except Exception as e:  # the last resort: a fault of ours must not look like a verdict
        broken = console.what_broke(e) if isinstance(e, OSError) else ""
        if broken:
            console.close_quietly()
        elif isinstance(e, OSError) and e.errno == errno.ENAMETOOLONG:
            name = max(str(e.filename).split("/"), key=len)
            broken = f"{name[:40]}...: is too long for the name of a file"
        _explain(Error(broken) if broken else InternalError(f"{type(e).__name__}: {e}"))
        return Exit.UNDECIDED
    return code if isinstance(code, int) else Exit.HELD


def _all_of(e: Error) -> str:
    if isinstance(e, CompileError):
        return e.diagnostics
    return e.explain() if isinstance(e, VerifierError) else ""


def _explain(e: Error) -> None:
    if os.environ.get("PACKETRIG_DEBUG") == "1":
        console.detail(traceback.format_exc())
    console.complain(f"{e}{'; packetrig -v tells all of it' if _all_of(e) else ''}")


def _usage(e: click.ClickException) -> str:
    text = e.format_message().rstrip(".")
    text = f"{text[:1].lower()}{text[1:]}"
    context = e.ctx if isinstance(e, click.UsageError) else None
    return f"{text}; see `{context.command_path} --help`" if context else text
