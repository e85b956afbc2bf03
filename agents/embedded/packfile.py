"""Reading the TOML files of a task pack: whatever is wrong with one is a line that names it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import ValidationError

from kindling.errors import InputError


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn what goes wrong while the TOML file `path` is read and validated into an `InputError`."""
    try:
        yield
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    except ValidationError as error:
        first = error.errors()[0]
        raise InputError(f"{path}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    except ValueError as error:  # not TOML, or not UTF-8
        raise InputError(f"{path}: not TOML: {error}") from error
