"""faultbench: how neural networks, and the schemes that protect them, survive bit flips in memory."""

from typing import TYPE_CHECKING

from faultbench.system.lazy_imports import lazy_names

if TYPE_CHECKING:
    from faultbench.campaign import load_campaign
    from faultbench.networks.inject import inject
    from faultbench.plugins.registry import dataset, engine, fault_model, model, number_format, scheme
    from faultbench.results.analysis.results import Results, read_results
    from faultbench.runner.api import run
    from faultbench.schemes.protect import protect
    from faultbench.system.errors import FaultbenchError
else:
    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "faultbench.campaign": ["load_campaign"],
            "faultbench.networks.inject": ["inject"],
            "faultbench.plugins.registry": ["dataset", "engine", "fault_model", "model", "number_format", "scheme"],
            "faultbench.results.analysis.results": ["Results", "read_results"],
            "faultbench.runner.api": ["run"],
            "faultbench.schemes.protect": ["protect"],
            "faultbench.system.errors": ["FaultbenchError"],
        },
    )

__version__ = "0.1.0"

__all__ = [
    "FaultbenchError",
    "Results",
    "__version__",
    "dataset",
    "engine",
    "fault_model",
    "inject",
    "load_campaign",
    "model",
    "number_format",
    "protect",
    "read_results",
    "run",
    "scheme",
]
