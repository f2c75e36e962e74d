"""Checks that an image's logits depend on memory and image only: not on the run, nor on other images of the batch."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from torch import Tensor, nn

from faultbench.networks.agreement.call_log import Call, are_rows_alike, calls, first_apart
from faultbench.networks.agreement.rounding import are_alike, distance, noise_of, same_bits, scale
from faultbench.networks.agreement.sample_images import ALONE
from faultbench.networks.agreement.undisturbed import random_streams
from faultbench.system.errors import FaultbenchError

Run = Callable[[Tensor], Tensor]

_MENDED = {
    "dropout": "give the dropout training=self.training, or take nn.Dropout",
    "fake_quant": "turn its observers off with torch.ao.quantization.disable_observer",
    "rand": "leave the noise out unless self.training",
    "bernoulli": "leave the noise out unless self.training",
    "normalize": "let it normalise each image on its own",
    "normal": "leave the noise out unless self.training",
    "norm": "let it normalise with running statistics in eval mode, or each image on its own",
    "mean": "let it take the mean of each image on its own",
    "std": "let it take the deviation of each image on its own",
    "var": "let it take the deviation of each image on its own",
    "sort": "let it sort the values of each image on their own",
}
_MOST_PIXELS = 1_000_000
"""Pixels of a batch, at most, that is run to find where it differs from a single image; all its values are kept."""

_N_CONFIRMING = 4
"""Further runs in each of which a network must draw from a random stream to be refused for it."""

_ADVICE = "let it compute each image on its own, and keep no state from run to run"


def refuse_if_unrepeatable(
    name: str, root: nn.Module, run: Run, images: Tensor, logits: Tensor, groups: Sequence[slice] = ALONE
) -> None:
    """Raise FaultbenchError when groups of images give other logits than all of them together, or than in a second run.

    run gives the logits of images; root is the module whose calls show where runs differ.
    """
    for rows in groups:
        alone = images[rows]
        if not len(alone):
            continue
        given = run(alone)
        if not are_alike(logits[rows], given, partial(_noise, name, root, run, images, alone, given)):
            _refuse_batch(name, root, images, rows, apart=distance(logits[rows], given), most=scale(logits))


def _noise(name: str, root: nn.Module, run: Run, images: Tensor, alone: Tensor, given: Tensor) -> float:
    # Of all images: what is drawn for one of them may be the same twice.
    refuse_if_not_repeated(name, root, images, run(images), run(images))
    return noise_of(run, alone, given)


def refuse_if_not_repeated(name: str, root: nn.Module, images: Tensor, logits: Tensor, again: Tensor) -> None:
    """Raise FaultbenchError when a second run of the same images gave logits that differ from the first in any bit."""
    if same_bits(logits, again):
        return
    call = first_apart(calls(root, images), calls(root, images), same_bits)
    raise FaultbenchError(
        f"{name}: two runs of the same images give logits that differ by up to "
        f"{distance(logits, again):.3g}{_first(call)}; a trial must be a function of memory and image: "
        f"{_mended(call)}"
    )


def refuse_if_drawn(name: str, root: nn.Module, images: Tensor, before: Mapping[str, bytes]) -> None:
    """Raise FaultbenchError when runs drew from a random stream, since the draws may change the logits.

    before holds the states of the streams before these runs. Other threads of a worker, such as Dask's, draw from the
    same streams now and then, so the draws must be seen again in further runs.
    """
    moved = _moved(before)
    for _ in range(_N_CONFIRMING):
        if moved:
            state = random_streams()
            calls(root, images)
            moved = [stream for stream in moved if stream in _moved(state)]
    if moved:
        call = first_apart(calls(root, images), calls(root, images), same_bits)
        raise FaultbenchError(
            f"{name}: it draws from the random numbers of {moved[0]} in eval mode{_first(call)}; a trial must be a "
            f"function of memory and image: {_MENDED['rand']}"
        )


def _moved(before: Mapping[str, bytes]) -> list[str]:
    """Return the random streams whose states are others than before."""
    return [stream for stream, state in random_streams().items() if state != before[stream]]


def _refuse_batch(name: str, root: nn.Module, images: Tensor, rows: slice, *, apart: float, most: float) -> None:
    same = partial(are_rows_alike, start=rows.start, n_images=len(images[rows]))
    few = images[: max(_MOST_PIXELS // images[0].numel(), rows.stop)]
    call = first_apart(calls(root, few), calls(root, images[rows]), same)
    raise FaultbenchError(
        f"{name}: an image's logits depend on the images that run with it: they differ by up to {apart:.3g}, of "
        f"magnitudes up to {most:.3g}{_first(call)}; a trial must be a function of memory and image: {_mended(call)}"
    )


def _first(call: Call | None) -> str:
    return "" if call is None else f", first after {call}"


def _mended(call: Call | None) -> str:
    function = "" if call is None else call.function.rpartition(".")[2]
    return next((advice for part, advice in _MENDED.items() if part in function), _ADVICE)
