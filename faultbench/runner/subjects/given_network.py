"""Networks of given weights, which are loaded exactly and take raw pixels."""

from torch import Tensor, nn

from faultbench.campaign.given_weights import GivenWeights
from faultbench.networks.network import Network
from faultbench.networks.normalisation import Normalise, normalise_first
from faultbench.networks.tracing.trace import trace
from faultbench.networks.weights.loading import load_weights
from faultbench.system.errors import FaultbenchError


def given_network(model: nn.Module, given: GivenWeights, pixels: Tensor) -> Network:
    """Return the network with these weights, exactly as in the file; the model is filled in place.

    pixels are a few raw images on which the network is compared with the model.
    """
    load_given_weights(model, given)
    shape = (pixels.shape[1], pixels.shape[2], pixels.shape[3])
    network = trace(model, shape, Normalise(given.mean, given.std)(pixels) if given.mean else pixels)
    if given.mean:
        normalise_first(network.graph, given.mean, given.std)
    return network


def load_given_weights(model: nn.Module, given: GivenWeights) -> None:
    """Load given weights into a model, in place; FaultbenchError if they are not those of the campaign's keys."""
    load_weights(
        model, given.path, given.keys, drop=given.drop, state_dict=given.state_dict, digest=given.digest
    )  # fmt: skip


def require_channels(given: GivenWeights | None, shape: tuple[int, int, int], title: str) -> None:
    """Raise FaultbenchError if a normalisation has another number of channels than the images."""
    if given is not None and given.mean and len(given.mean) != shape[0]:
        raise FaultbenchError(
            f"{title}: weights.normalisation is of {len(given.mean)} channels; given images of {shape[0]}; "
            "give one number a channel in mean and std"
        )
