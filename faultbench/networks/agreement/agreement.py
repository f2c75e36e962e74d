"""Comparison of a model with the graph recorded of it: both must compute the same, from one image at a time."""

import torch
from torch import Tensor, nn

from faultbench.networks.agreement.call_log import calls, first_not_in
from faultbench.networks.agreement.repeatability import refuse_if_drawn, refuse_if_not_repeated, refuse_if_unrepeatable
from faultbench.networks.agreement.rounding import SAME_KERNELS, SLACK, are_alike, distance, noise_of, same_bits, scale
from faultbench.networks.agreement.sample_images import sampled
from faultbench.networks.agreement.undisturbed import random_streams, undisturbed
from faultbench.networks.tracing.fx_tracer import symbolic
from faultbench.networks.tracing.symbolic_trace import first_line
from faultbench.system.errors import FaultbenchError

_ADVICE = (
    "make forward take the same steps for a tensor as for torch.fx's stand-in: no branch on a type, no try, no state; "
    "or put the step into a function of its own under torch.fx.wrap"
)


class Agreement:
    """Logits of a model for a few images, with which the graph recorded of it is compared after every rewrite.

    The images are random, of 0 to 1 and of both signs, and some are real ones if any are given. They run in batches of
    several sizes, in inference mode as in trials. plain is the module that is traced: the model, or a copy with its
    computed weights put in place. FaultbenchError when logits of an image depend on the batch, or on the run.
    """

    def __init__(
        self, model: nn.Module, plain: nn.Module, shape: tuple[int, int, int], given: Tensor | None = None
    ) -> None:
        self._model, self._plain, self._name, self._shape = model, plain, type(model).__name__, shape
        n_weights = sum(parameter.numel() for parameter in model.parameters())
        self._images = sampled(shape, n_weights, given)
        with undisturbed(model):
            self._logits = self._run(model, self._images)
            before = random_streams()
            refuse_if_unrepeatable(self._name, model, self._run_model, self._images, self._logits)
            refuse_if_drawn(self._name, model, self._images, before)

    def require(self, graph: nn.Module, step: str, *, layout: torch.memory_format = torch.contiguous_format) -> None:
        """Raise FaultbenchError when the graph gives other logits than the model, apart from rounding.

        step says what was done to the graph, layout how its images lie in memory.
        """
        with undisturbed(self._model):
            given = self._run(graph, self._images.contiguous(memory_format=layout))
            is_run_as_recorded = layout == torch.contiguous_format
            slack = SAME_KERNELS if is_run_as_recorded else SLACK
            if not are_alike(self._logits, given, self._noise, slack=slack):
                self._refuse(step, graph, given)
            if is_run_as_recorded and not same_bits(self._logits, given):
                self._refuse_unrepeated()

    def _refuse_unrepeated(self) -> None:
        first, again = self._run_model(self._images), self._run_model(self._images)
        refuse_if_not_repeated(self._name, self._model, self._images, first, again)

    def _run_model(self, images: Tensor) -> Tensor:
        return self._run(self._model, images)

    @torch.inference_mode()  # as in trials: a forward may ask for the mode
    def _run(self, network: nn.Module, images: Tensor) -> Tensor:
        whose = self._name if network is self._model else f"{self._name}, as torch.fx records it,"
        try:
            logits = network(images.clone())  # a forward may write into its images
        except Exception as error:  # a user's code may raise anything
            raise FaultbenchError(
                f"{whose} does not take {len(images)} random images: {first_line(error)}; "
                "it must take any number of images with any finite pixels"
            ) from error
        if not isinstance(logits, Tensor) or logits.shape[:1] != images.shape[:1]:
            given = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
            raise FaultbenchError(f"{whose} gives {given} for {len(images)} images; a classifier gives a row for each")
        return logits.clone()

    def _noise(self) -> float:
        self._refuse_unrepeated()
        return noise_of(self._run_model, self._images, self._logits)

    def _refuse(self, step: str, graph: nn.Module, given: Tensor) -> None:
        apart, most = distance(self._logits, given), scale(self._logits)
        raise FaultbenchError(
            f"{self._name}: {step}, it is another network than the one that runs: logits of {len(given)} images differ "
            f"by up to {apart:.3g}, of magnitudes up to {most:.3g}; {self._where(graph)}"
        )

    def _where(self, graph: nn.Module) -> str:
        """Return the first call of the model that the graph does not make with these values, and advice."""
        with undisturbed(self._plain):
            own = calls(self._plain, self._images)
            with torch.no_grad():  # as `record_graph` has it
                recorded = symbolic(self._plain, self._shape)
            missing = first_not_in(own, calls(recorded, self._images))
            if missing is not None:
                return f"the first step that is not recorded: {missing}; {_ADVICE}"
            changed = first_not_in(own, calls(graph, self._images))
        where = "" if changed is None else f", the first other values: {changed}"
        return f"torch.fx records every step of it{where}; write into no tensor, nor into parts and views of one"
