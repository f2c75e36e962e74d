"""Every network of the zoo keeps the contract, and its memory has the names and kinds of its layers."""

from collections import Counter
from typing import ClassVar

import pytest
from torch import nn

from faultbench import testing
from faultbench.networks.tracing.trace import trace
from faultbench.system.errors import FaultbenchError
from faultbench.testing.models import TracedModel
from faultbench.testing.selection import Plugin
from tests.builders.contracts import OwnPlugins

LAYERS, NORMS = (nn.Conv2d, nn.Linear), nn.BatchNorm2d


class TestModels(OwnPlugins, testing.TestModels):
    examples: ClassVar = {"torchvision:<name>": ["torchvision:resnet18"]}
    shapes = ((1, 8, 8), (3, 32, 32))
    """Those of the data sets."""

    def test_stored_tensors_are_all_the_models_by_their_state_dict_names(self, subject: TracedModel) -> None:
        state = subject.model.state_dict(keep_vars=True)
        stored = {parameter.name: parameter for parameter in subject.network.parameters()}
        assert all(parameter.tensor is state[name] for name, parameter in stored.items())
        modules = list(subject.model.modules())
        layers = [module for module in modules if isinstance(module, LAYERS)]
        n_norms = sum(isinstance(module, NORMS) for module in modules)
        assert Counter(parameter.kind for parameter in stored.values()) == Counter(
            weights=len(layers),
            biases=sum(layer.bias is not None for layer in layers),
            norm_parameters=2 * n_norms,
            norm_statistics=2 * n_norms,
        )

    def test_every_site_is_fed_by_a_layer_and_the_last_layer_feeds_none(self, subject: TracedModel) -> None:
        network = subject.network
        layers = [parameter.owner for parameter in network.parameters() if parameter.kind == "weights"]
        fed = [layer for site in network.sites for layer in site.feeding]
        assert all(site.feeding for site in network.sites)
        assert set(fed) == set(layers[:-1])

    @pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")
    def test_images_that_a_network_does_not_take_are_refused_when_it_is_built_or_traced(self, plugin: Plugin) -> None:
        with pytest.raises(FaultbenchError, match=r"fails on an image|takes"):
            trace(plugin.build(shape=(2, 3, 3), n_classes=10), (2, 3, 3))
