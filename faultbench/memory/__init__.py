"""Memory of a network: how it holds values, which of its bits fault, and what fault models and formats build on."""

from typing import TYPE_CHECKING

from faultbench.system.lazy_imports import lazy_names

if TYPE_CHECKING:
    from faultbench.memory.fault_map import FaultMap
    from faultbench.memory.fault_space import FaultSpace, StoredTensor
    from faultbench.memory.faults.fault_model import FaultModel, Targeted
    from faultbench.memory.formats.codec import Codec, quantised
    from faultbench.system.random_streams import generator
else:
    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "faultbench.memory.fault_map": ["FaultMap"],
            "faultbench.memory.fault_space": ["FaultSpace", "StoredTensor"],
            "faultbench.memory.faults.fault_model": ["FaultModel", "Targeted"],
            "faultbench.memory.formats.codec": ["Codec", "quantised"],
            "faultbench.system.random_streams": ["generator"],
        },
    )

__all__ = ["Codec", "FaultMap", "FaultModel", "FaultSpace", "StoredTensor", "Targeted", "generator", "quantised"]
