"""Every error that kindling raises on purpose, named by the boundary that was crossed.

    KindlingError
    ├── UsageError (ValueError)            the user can mend it: one line, exit status 2
    │   ├── ConfigError                    kindling.toml, --set, a missing key or extra
    │   ├── InputError                     a data file: missing, unreadable, a column short
    │   ├── TemplateError                  a prompt template, with file and line
    │   └── RunFolderError                 a run folder: used, locked, unwritable, other settings
    ├── CallError (ConnectionError)        a model call gave no usable answer after all retries
    ├── Unscored (ArithmeticError)         a judgement could not be had: never evidence about the text
    └── BudgetSpent (RuntimeError)         --max-calls, --max-cost or --max-minutes is used up

A `UsageError` says what, where and how to mend, in one line. `CallError` and `Unscored` never leave a row: the
graph turns them into a verdict or an outcome that says why. `BudgetSpent` and cancellation pass through everything,
so that a row which was cut short stays *pending* instead of being counted as failed.
"""


class KindlingError(Exception):
    """Root of the tree; catch it to catch everything that kindling raises on purpose."""


class UsageError(KindlingError, ValueError):
    """Something the user gave cannot be used; the message is one line that says how to mend it."""


class ConfigError(UsageError):
    """The configuration, an override, an environment variable or an installed extra is wrong or missing."""


class InputError(UsageError):
    """A data file is missing, unreadable, empty, or lacks a column."""


class TemplateError(UsageError):
    """A prompt template cannot be used; the message starts with `file:line:`."""


class RunFolderError(UsageError):
    """A run folder is in use, unwritable, or was made with other settings."""


class CallError(KindlingError, ConnectionError):
    """A model call gave no usable answer: retries exhausted, refused, empty, or the endpoint said no for good."""


class Unscored(KindlingError, ArithmeticError):
    """A judgement could not be had; the message is the reason that the verdict will carry."""


class BudgetSpent(KindlingError, RuntimeError):
    """A limit on calls, cost or minutes is reached; the row that met it stays pending."""
