"""faultbench: how neural networks, and the schemes that protect them, survive bit flips in memory."""

import importlib
from typing import Any

__version__ = "0.1.0.dev0"

_HOMES = {
    "load_campaign": "faultbench.campaign",
    "read_results": "faultbench.results.analysis.results",
    "run": "faultbench.runner.api",
    "protect": "faultbench.schemes.protect",
    "inject": "faultbench.networks.inject",
}
"""What scripts use → the module that has it, imported when first asked for; `__init__.pyi` tells type checkers."""

__all__ = ["__version__", "inject", "load_campaign", "protect", "read_results", "run"]


def __getattr__(name: str) -> Any:
    """One of `_HOMES` (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module 'faultbench' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
