"""Our own Invoke program.

Invoke answers 1 to a wrong call and to Ctrl-C; here a wrong call is 2, an interruption 130, and
every PndaError its own code. No traceback is shown without ``--debug``.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
from types import FrameType

from invoke.collection import Collection
from invoke.exceptions import Exit, ParseError
from invoke.parser.argument import Argument
from invoke.program import Program

from core import console
from core.bootstrap import BootstrapError
from core.errors import PndaError, UpstreamError, disk_error


class PndaProgram(Program):
    """Invoke's Program with our flags (``--json``, ``--quiet``) and our exit codes."""

    def core_args(self) -> list[Argument]:
        """Return Invoke's own flags and ours, which are valid anywhere on the line."""
        ours = [
            Argument(name="json", kind=bool, default=False, help="Print the result as one JSON document."),
            Argument(name="quiet", kind=bool, default=False, help="No progress, only results and errors."),
        ]
        return [*super().core_args(), *ours]

    def run(self, argv: list[str] | None = None, exit: bool = True) -> None:
        """Parse ``argv``, run the tasks named there and leave with a code of the contract."""
        code = self._guarded(argv)
        if exit:
            sys.exit(code)

    def _guarded(self, argv: list[str] | None) -> int:
        try:
            self.create_config()
            self.parse_core(argv)
            self.parse_collection()
            try:
                self.parse_tasks()
            except ValueError as error:  # from Invoke's int(), which does not say whose value it was
                value = str(error).rpartition(": ")[2]
                return _fail(2, f"{value} is not a number", "./inv --help TASK shows the task's options")
            # Only now: our flags may stand behind the task's name as well.
            console.settings.json = bool(self.args.json.value)
            console.settings.quiet = bool(self.args.quiet.value)
            console.settings.debug = bool(self.args.debug.value)
            self.parse_cleanup()
            self.update_config()
            self.execute()
        except Exit as error:
            if error.message:
                print(error.message, file=sys.stderr)
            return int(error.code)
        except ParseError as error:
            return _fail(2, str(error), "./inv --list shows every task, ./inv --help TASK its options")
        except PndaError as error:
            return _fail(error.exit_code, error.message, error.cure)
        except BootstrapError as error:
            return _fail(UpstreamError.exit_code, str(error), "")
        except KeyboardInterrupt:
            return _fail(130, "interrupted; nothing is lost", "run the same command again")
        except BrokenPipeError:
            sys.stderr.close()
            return 0
        except OSError as error:
            fault = disk_error(error, error.filename or "the output or a file")
            if fault is not None:
                # Nobody knows here whether it was read or written.
                return _fail(fault.exit_code, fault.message.replace("write", "use", 1), fault.cure)
            return _unexpected(error)
        except Exception as error:  # the last resort: whatever reaches it is a fault of ours
            return _unexpected(error)
        return 0


def _fail(code: int, message: str, cure: str) -> int:
    if console.settings.debug:
        traceback.print_exc()
    print(f"error: {message}", file=sys.stderr)
    if cure:
        print(f"  cure: {cure}", file=sys.stderr)
    return code


def _unexpected(error: Exception) -> int:
    return _fail(
        70,
        f"a fault of ours: {type(error).__name__}: {error}",
        "run again with --debug and report what it prints",
    )


def main() -> None:
    """Run the tasks of ``tasks.py`` (what ``./inv`` calls)."""
    import tasks

    _fill_streams()
    _end_in_order()
    PndaProgram(name="inv", binary="./inv", version="0.1.0", namespace=Collection.from_module(tasks)).run()


def _end_in_order() -> None:
    """Let SIGTERM and SIGHUP end the work as Ctrl-C does: programs that we started end too."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) == signal.SIG_DFL:  # not under nohup
            signal.signal(number, _interrupt)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _fill_streams() -> None:
    """Open what the caller closed of the three standard streams on nothing.

    Else the next file that is opened gets the number of one of them, and what is printed.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
            if getattr(sys, name) is None:
                setattr(sys, name, os.fdopen(number, "r" if number == 0 else "w", closefd=False))


if __name__ == "__main__":
    main()
