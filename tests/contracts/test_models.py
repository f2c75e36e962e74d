"""Every network of the zoo is traced whole: the same logits, sites as they say, memory by its state-dict names."""

from collections import Counter

import pytest
import torch
from networks import randomise, same_bits, some_images
from torch import Tensor, nn

from faultbench.networks.network import Network, Site, trace
from faultbench.plugins import registry
from faultbench.system.errors import FaultbenchError

SHAPES = ((1, 8, 8), (3, 32, 32))
"""The images of the data sets; a network is tried on the first that it takes."""

LAYERS, NORMS = (nn.Conv2d, nn.Linear), nn.BatchNorm2d


EXAMPLES = {"torchvision:<name>": ["torchvision:resnet18"]}
"""What to try for a name with placeholders; the others stand for themselves."""

MODELS = [example for name in registry.catalogue("model") for example in EXAMPLES.get(name, [name])]


def built(name: str) -> tuple[nn.Module, tuple[int, int, int]]:
    for shape in SHAPES:
        try:
            return registry.build("model", name, {}, shape=shape, n_classes=10), shape
        except FaultbenchError:
            continue
    raise AssertionError(f"{name} takes no images of any data set")


class Subject:
    """A network of the zoo with values of its own everywhere, as it is and traced."""

    def __init__(self, name: str) -> None:
        self.model, self.shape = built(name)
        randomise(self.model, seed=1)
        for parameter in self.model.parameters():
            parameter.data /= max(1.0, parameter[0].numel() ** 0.5)  # or the logits of deep networks overflow
        self.images = some_images(3, self.shape)
        with torch.inference_mode():
            self.logits = self.model.eval()(self.images)
        self.network = trace(self.model, self.shape)


@pytest.fixture(scope="module", params=MODELS)
def subject(request: pytest.FixtureRequest) -> Subject:
    return Subject(request.param)


class Watch(nn.Module):
    """A ReLU that remembers the shape of its output."""

    def __init__(self) -> None:
        super().__init__()
        self.shape: tuple[int, ...] = ()

    def forward(self, x: Tensor) -> Tensor:
        self.shape = tuple(x.shape)
        return torch.relu(x)


def watched(network: Network, images: Tensor) -> dict[Site, Watch]:
    twin, watches = network.copy(), {site: Watch() for site in network.sites}
    for site, watch in watches.items():
        twin.install(site, watch)
    with torch.inference_mode():
        twin(images)
    return watches


def test_the_traced_network_gives_the_same_logits_bit_for_bit(subject: Subject) -> None:
    assert subject.logits.shape == (3, 10)
    assert subject.logits.std() > 0
    with torch.inference_mode():
        assert same_bits(subject.network(subject.images), subject.logits)
        assert same_bits(subject.network.copy()(subject.images), subject.logits)


def test_every_site_has_the_shape_it_says_and_a_name_of_its_own(subject: Subject) -> None:
    watches = watched(subject.network, subject.images)
    assert {site: watch.shape for site, watch in watches.items()} == {site: (3, *site.shape) for site in watches}
    assert len({site.name for site in watches}) == len(watches)


def test_stored_tensors_are_all_the_models_by_their_state_dict_names(subject: Subject) -> None:
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


def test_every_site_is_fed_by_a_layer_and_the_last_layer_feeds_none(subject: Subject) -> None:
    layers = [parameter.owner for parameter in subject.network.parameters() if parameter.kind == "weights"]
    fed = [layer for site in subject.network.sites for layer in site.feeding]
    assert all(site.feeding for site in subject.network.sites)
    assert set(fed) == set(layers[:-1])


@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")
def test_images_that_a_network_does_not_take_are_refused_when_it_is_built_or_traced() -> None:
    for name in MODELS:
        with pytest.raises(FaultbenchError, match=r"does not take|takes"):
            trace(registry.build("model", name, {}, shape=(2, 3, 3), n_classes=10), (2, 3, 3))
