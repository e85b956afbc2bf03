"""torch, loaded where it is needed.

OpenMP threads that spin while they wait slow a busy machine down twentyfold, and OpenMP reads how to wait when it is
loaded. So everything that needs torch asks here for it first.
"""

import os
import sys
from importlib.util import find_spec

from kindling.errors import ConfigError

CALM = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0", "TOKENIZERS_PARALLELISM": "false"}
SILENT = {"HF_HUB_DISABLE_TELEMETRY": "1"}
NEEDS = ("torch", "transformers", "trl", "datasets")


def prepare(threads: int | None = None) -> None:
    """Make torch and the libraries around it ready to be imported; `threads` of a CPU are used (None: torch decides).

    What the environment says already stands. Raises `ConfigError` where the `train` extra is not installed.
    """
    for package in NEEDS:
        if package not in sys.modules and find_spec(package) is None:
            raise ConfigError(f"{package} is not installed; pip install 'kindling[train]'")
    for name, value in {**CALM, **SILENT}.items():
        os.environ.setdefault(name, value)
    if threads is not None:
        import torch

        torch.set_num_threads(threads)


def hush() -> None:
    """Keep the libraries' progress bars and notices off the terminal: what matters is said by the command."""
    import logging

    import datasets
    import transformers

    datasets.disable_progress_bars()
    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    for name in ("trl", "accelerate", "datasets", "torch", "huggingface_hub"):
        logging.getLogger(name).setLevel(logging.ERROR)
