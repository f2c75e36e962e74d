"""Networks of weights that a campaign gives: loaded exactly, and fed with raw pixels."""

from torch import nn

from faultbench.campaign.given_weights import GivenWeights
from faultbench.networks.network import Network, trace
from faultbench.networks.normalisation import normalise_first
from faultbench.networks.weights.weight_files import load_weights
from faultbench.system.errors import FaultbenchError


def given_network(model: nn.Module, given: GivenWeights, shape: tuple[int, int, int]) -> Network:
    """The network with these weights, exactly as the file has them; the model is filled in place."""
    load_weights(model, given.path, given.keys)
    network = trace(model, shape)
    if given.mean:
        normalise_first(network.graph, given.mean, given.std)
    return network


def require_channels(given: GivenWeights | None, shape: tuple[int, int, int], title: str) -> None:
    """FaultbenchError when a normalisation is not of as many channels as the images have."""
    if given is not None and given.mean and len(given.mean) != shape[0]:
        raise FaultbenchError(
            f"{title}: weights.normalisation is of {len(given.mean)} channels; given images of {shape[0]}; "
            "give one number a channel in mean and std"
        )
