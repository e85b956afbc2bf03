"""What a graph does when an agent fails: the failure becomes a value, so that one agent never takes its siblings down.

LangGraph cancels the tasks of a superstep when one of them raises. A call that is cancelled in flight is paid for and
its answer lost, so no node lets an agent's exception out: `attempt` turns it into a `Fault`, the siblings finish, and
the node that joins them decides. `BudgetSpent` is held back in the same way and raised again at the join (`settle`).
Cancellation is no `Exception` and passes straight through.

A `UsageError` (a refused key, a server that is not there) says that no call could succeed: it does leave the node, and
ends the run with its one line. The ledger lets calls in flight come back first. A `TemplateError` does not: templates
are checked when they are loaded, so one that fails later fails over this row's texts (their size, for example).

A fault that no contract foresees is a bug somewhere: it is logged with its traceback under the logger
`kindling.graphs`, which a run copies to its event log.
"""

import logging
from collections.abc import Awaitable, Iterable
from dataclasses import dataclass
from typing import TypeVar

from kindling.errors import BudgetSpent, CallError, TemplateError, Unscored, UsageError

logger = logging.getLogger("kindling.graphs")

T = TypeVar("T")
MAX_CHARS = 300


@dataclass(frozen=True, slots=True)
class Fault:
    """`who` failed and `why`; `spent` if there was no budget for the call. Plain data, so that state can be saved."""

    who: str
    why: str
    spent: bool = False

    def __str__(self) -> str:
        return f"{self.who}: {self.why}"


async def attempt(who: str, kind: type[T], work: Awaitable[T]) -> T | Fault:
    """Return the result of `work`, or the `Fault` that it came to. Raises nothing but cancellation and `UsageError`.

    A result that is no `kind` breaks the agent's contract, and is a fault too.
    """
    try:
        result = await work
        if not isinstance(result, kind):
            raise TypeError(f"answered {type(result).__name__} instead of {kind.__name__}")
    except Exception as error:  # the boundary where one agent's bug ends
        if isinstance(error, UsageError) and not isinstance(error, TemplateError):
            raise
        return fault_of(who, error)
    return result


def fault_of(who: str, error: Exception) -> Fault:
    """`error` as a fault. What is no part of an agent's contract is logged, and its type is part of the reason."""
    # one short line that any JSON writer takes, whatever stood in the text that the error quotes
    why = " ".join(str(error).split())[:MAX_CHARS].encode(errors="replace").decode()
    if isinstance(error, BudgetSpent):
        return Fault(who, why, spent=True)
    if isinstance(error, CallError | Unscored | TemplateError):
        return Fault(who, why or type(error).__name__)
    logger.error("%s failed: %s: %s", who, type(error).__name__, why, exc_info=error)
    return Fault(who, f"{type(error).__name__}: {why}" if why else type(error).__name__)


def settle(faults: Iterable[Fault]) -> None:
    """Raise `BudgetSpent` if any of the faults is one: the work was cut short, which says nothing about the text."""
    for fault in faults:
        if fault.spent:
            raise BudgetSpent(fault.why)
