"""Contract tests for plug-ins of your own: import a class into a test file, and pytest runs it on what you declare.

`from faultbench.testing import TestSchemes` in a test file tests every scheme that the Python files of its folder
declare, or of the nearest folder above it that has some. A subclass says more:

    class TestModels(faultbench.testing.TestModels):
        modules = ["mylab.models"]  # installed modules, in place of files beside the test
        examples = {"mlp:<depth>": ["mlp:2", "mlp:5"]}  # names to try for one with placeholders
"""

from typing import TYPE_CHECKING

from faultbench.system.lazy_imports import lazy_names

if TYPE_CHECKING:
    from faultbench.testing.datasets import TestDatasets
    from faultbench.testing.engines import TestEngines, TestEnginesThatLoseWorkers
    from faultbench.testing.fault_models import TestFaultModels
    from faultbench.testing.models import TestModels
    from faultbench.testing.number_formats import TestNumberFormats
    from faultbench.testing.schemes import TestSchemes
else:
    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "faultbench.testing.datasets": ["TestDatasets"],
            "faultbench.testing.engines": ["TestEngines", "TestEnginesThatLoseWorkers"],
            "faultbench.testing.fault_models": ["TestFaultModels"],
            "faultbench.testing.models": ["TestModels"],
            "faultbench.testing.number_formats": ["TestNumberFormats"],
            "faultbench.testing.schemes": ["TestSchemes"],
        },
    )

__all__ = [
    "TestDatasets",
    "TestEngines",
    "TestEnginesThatLoseWorkers",
    "TestFaultModels",
    "TestModels",
    "TestNumberFormats",
    "TestSchemes",
]
