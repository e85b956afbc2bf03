"""Too little memory, said in one line: what did not fit, and what to lower.

torch raises its own `OutOfMemoryError` where an accelerator is full, and a plain `RuntimeError` of the allocator where
the CPU's memory is. Both are told by their words, so that nothing is imported for it.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from kindling.errors import ConfigError

LIGHTER = "take a smaller model, or a device with more"
SAID = ("out of memory", "DefaultCPUAllocator")


@contextmanager
def within_memory(doing: str, mend: str) -> Iterator[None]:
    """Turn what torch raises for want of memory into a `ConfigError`: `doing` says at what, `mend` what takes less."""
    try:
        yield
    except RuntimeError as error:
        if not any(words in str(error) for words in SAID):
            raise
        raise ConfigError(f"out of memory while {doing}: {mend}") from error
