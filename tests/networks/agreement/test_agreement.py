"""The traced network computes what the user's does, or the line where they differ is named; the user's is unchanged."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import faultbench as fb
from faultbench.networks.agreement.undisturbed import random_streams
from faultbench.networks.tracing import trace as tracing
from faultbench.networks.tracing.trace import trace
from faultbench.system.errors import FaultbenchError
from tests.builders.networks import DIGIT_SHAPE as SHAPE
from tests.builders.networks import refused, same_bits


class Net(nn.Module):
    """Three layers; subclasses say what stands between them."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.first, self.second, self.last = nn.Linear(64, 64), nn.Linear(64, 64), nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(F.relu(self.second(F.relu(self.first(x.flatten(1))))))


class UnlessStopped(Net):
    def forward(self, x: Tensor, stop: Tensor | None = None) -> Tensor:
        x = F.relu(self.first(x.flatten(1)))
        if stop is None:
            x = F.relu(self.second(x))
        return self.last(x)


class Masked(Net):
    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        x = super().forward(x)
        return x if mask is None else x * mask


class AnyArguments(Net):
    def forward(self, *images: Tensor, scale: float = 2.0, **more: Any) -> Tensor:
        return super().forward(images[0]) * (0 if more else scale)


class NumberAndFlag(Net):
    def forward(self, x: Tensor, repeats: int = 2, *, doubles: bool = False) -> Tensor:
        for _ in range(repeats):
            x = F.relu(self.first(x.flatten(1)))
        return self.last(x) * (2 if doubles else 1)


class OwnCall(Net):
    def __call__(self, x: Tensor) -> Tensor:
        return super().__call__(2 * x) - 1


class CallsOwnCall(Net):
    def __init__(self) -> None:
        super().__init__()
        self.inner = OwnCall()

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.inner(x))


class Remembers(Net):
    """Network that keeps its activations, as code that draws feature maps does."""

    def forward(self, x: Tensor) -> Tensor:
        self.seen = x = F.relu(self.first(x.flatten(1)))
        return self.last(x)


def hooked() -> nn.Module:
    net = Net()
    net.register_forward_hook(lambda _, __, logits: 3 * logits)
    return net


def hooked_before() -> nn.Module:
    net = Net()
    net.register_forward_pre_hook(lambda _, images: (images[0] + 1,))
    return net


def hooked_inside() -> nn.Module:
    net = Net()
    net.second.register_forward_hook(lambda _, __, given: 3 * given)
    return nn.Sequential(net)


def forward_replaced() -> nn.Module:
    net = Net()
    net.forward = lambda x: net.last(F.relu(net.first(x.flatten(1))))  # type: ignore[method-assign]
    return net


FOLLOWED = (
    *(UnlessStopped, Masked, AnyArguments, NumberAndFlag, OwnCall, CallsOwnCall, Remembers),
    *(hooked, hooked_before, hooked_inside, forward_replaced),
)


@pytest.mark.parametrize("build", FOLLOWED, ids=lambda build: build.__name__)
def test_defaults_hooks_and_own_calls_are_part_of_the_traced_network(build: Callable[[], nn.Module]) -> None:
    images = torch.randn(5, *SHAPE)
    with torch.no_grad():
        expected = build().eval()(images)
        assert same_bits(trace(build(), SHAPE)(images), expected)


class TypeAsked(Net):
    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.first(x.flatten(1)))
        if isinstance(x, Tensor):
            x = F.relu(self.second(x))  # only what runs comes here
        return self.last(x)


class Tried(Net):
    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.first(x.flatten(1)))
        try:
            shift = float(x.abs().max() > 0)
        except TypeError:
            shift = 0.0
        return self.last(x + shift)  # another number than torch.fx saw


class SizeTried(Net):
    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.first(x.flatten(1)))
        try:
            few = len(x) < 1000
        except RuntimeError:
            few = False
        return self.last(F.relu(self.second(x)) if few else x)


class DataWritten(Net):
    def forward(self, x: Tensor) -> Tensor:
        x = x.flatten(1).clone()
        x.data = 2 * x.data
        return self.last(F.relu(self.first(x)))  # of doubled pixels


class DoubledLinear(nn.Linear):
    def __call__(self, x: Tensor) -> Tensor:
        return 2 * super().__call__(x)


class InferenceAsked(Net):
    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.first(x.flatten(1)))
        if torch.is_inference_mode_enabled():
            x = F.relu(self.second(x))  # trials come here
        return self.last(x)


class LeafOwnCall(Net):
    def __init__(self) -> None:
        super().__init__()
        self.first = DoubledLinear(64, 64)


PARTED = {
    TypeAsked: "x = F.relu(self.second(x))  # only what runs comes here",
    Tried: "return self.last(x + shift)  # another number than torch.fx saw",
    SizeTried: "return self.last(F.relu(self.second(x)) if few else x)",
    DataWritten: "return self.last(F.relu(self.first(x)))  # of doubled pixels",
    InferenceAsked: "x = F.relu(self.second(x))  # trials come here",
    LeafOwnCall: "return self.last(F.relu(self.second(F.relu(self.first(x.flatten(1))))))",
}


def line_of(text: str) -> int:
    return next(n for n, line in enumerate(Path(__file__).read_text().splitlines(), start=1) if text in line)


@pytest.mark.parametrize("build", PARTED, ids=lambda build: build.__name__)
def test_a_network_that_is_recorded_otherwise_is_refused_with_the_line(build: type[nn.Module]) -> None:
    message = refused(build())
    assert message.startswith(f"{build.__name__}: as torch.fx records it, it is another network than the one that runs")
    assert f" at {__file__}:{line_of(PARTED[build])}: {PARTED[build][:60]}" in message
    assert "; make forward take the same steps for a tensor as for torch.fx's stand-in" in message


class GradientAsked(Net):
    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.first(x.flatten(1)))
        return self.last(x if torch.is_grad_enabled() else F.relu(self.second(x)))


def test_a_network_that_asks_for_gradients_is_measured_as_it_runs_without_them() -> None:
    model, images = GradientAsked(), torch.rand(4, *SHAPE)
    network = trace(model, SHAPE)
    assert [site.name for site in network.sites] == ["relu", "relu#1"]
    with torch.inference_mode():
        assert same_bits(network(images), model(images))


def test_protect_refuses_it_too() -> None:
    with pytest.raises(FaultbenchError, match=r"^TypeAsked: as torch\.fx records it, it is another network"):
        fb.protect(TypeAsked(), "relu", torch.rand(4, *SHAPE))


class OnRealImages(Net):
    """Network that computes another function for pixel values that random images never have."""

    def forward(self, x: Tensor) -> Tensor:
        try:
            lit = bool((x > 100).any())
        except (TypeError, torch.fx.proxy.TraceError):
            lit = False
        return super().forward(0 * x if lit else x)


def test_real_images_are_compared_where_there_are_some() -> None:
    trace(OnRealImages(), SHAPE)
    with pytest.raises(FaultbenchError, match=r"^OnRealImages: "):
        trace(OnRealImages(), SHAPE, torch.full((1, *SHAPE), 200.0))
    with pytest.raises(FaultbenchError, match=r"^OnRealImages: "):
        fb.protect(OnRealImages(), "relu", torch.full((1, *SHAPE), 200.0))


def test_a_rewrite_that_changes_a_step_is_told_with_the_step(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(graph: torch.fx.GraphModule, *_: Any) -> None:
        next(node for node in graph.graph.nodes if node.target is F.relu).target = F.relu6

    monkeypatch.setattr(tracing, "without_writes", wrong)
    net = Net()
    with torch.no_grad():
        net.first.weight.mul_(100)
    message = refused(net)
    source = "return self.last(F.relu(self.second(F.relu(self.first(x.flatten(1))))))"
    assert f"; torch.fx records every step of it, the first other values: nn.functional.relu at {__file__}:" in message
    assert f": {source} in the model itself; write into no tensor" in message


@pytest.mark.parametrize("rewrite", ["without_writes", "lay_out"])
def test_a_rewrite_that_changes_the_function_is_refused(rewrite: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rewritten = getattr(tracing, rewrite)

    def wrong(graph: torch.fx.GraphModule, *args: Any) -> None:
        rewritten(graph, *args)
        last = next(node for node in reversed(graph.graph.nodes) if node.target == "last")
        with graph.graph.inserting_after(last):
            doubled = graph.graph.call_function(torch.mul, (last, 2))
        last.replace_all_uses_with(doubled, delete_user_cb=lambda user: user is not doubled)

    monkeypatch.setattr(tracing, rewrite, wrong)
    assert "it is another network than the one that runs" in refused(Net())


class Stateful(Net):
    """Network that changes all state that a forward can change, without effect on its logits."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("n_images", torch.zeros(1))
        self.n_runs, self.cache = 0, {}

    def forward(self, x: Tensor) -> Tensor:
        self.n_runs += 1
        self.n_images += 1
        self.cache[self.n_runs] = x
        self.last_x = x
        self.train()
        return super().forward(x)


class Noisy(Net):
    def forward(self, x: Tensor) -> Tensor:
        np.random.rand(1), random.random()  # noqa: NPY002 - streams that are not its own
        return super().forward(x + torch.rand_like(x))


def test_random_streams_go_on_as_if_nothing_had_run() -> None:
    before = random_streams()
    refused(Noisy())
    trace(Net(), SHAPE)
    assert random_streams() == before


def test_a_model_is_left_as_it_was() -> None:
    model = Stateful().eval()
    hooks = model.register_forward_hook(lambda *_: None)
    trace(model, SHAPE)
    assert (model.n_runs, model.cache, float(model.n_images)) == (0, {}, 0.0)
    assert not hasattr(model, "last_x")
    assert not any(module.training for module in model.modules())
    assert list(model._forward_hooks) == [hooks.id]


class Rounded(Net):
    """Network that rounds inside, as quantised ones do, so that last bits of pixels can matter."""

    def forward(self, x: Tensor) -> Tensor:
        for layer in (self.first, self.second):
            x = F.relu(torch.fake_quantize_per_tensor_affine(layer(x.flatten(1)), 0.01, 0, -128, 127))
        return self.last(x)


def test_networks_that_round_inside_are_taken() -> None:
    assert len(trace(Rounded(), SHAPE).sites) == 2


class Fails(Net):
    def forward(self, x: Tensor) -> Tensor:
        raise KeyError(f"no such weight for {len(x)} images")


class FailsForMany(Net):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.view(1, 1, 8, 8))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (Fails, r"^Fails fails on an image of 1×8×8: .no such weight for 1 images.; raised in the model itself at "),
        (
            FailsForMany,
            r"^FailsForMany: view fails on 2 images: shape .* is invalid for input of size 128; in the model",
        ),
    ],
)
def test_whatever_a_model_raises_is_one_line(build: type[nn.Module], message: str) -> None:
    with pytest.raises(FaultbenchError, match=message):
        trace(build(), SHAPE)


def lazy() -> nn.Module:
    return nn.Sequential(nn.LazyConv2d(4, 3), nn.LazyBatchNorm2d(), nn.ReLU(), nn.Flatten(), nn.LazyLinear(10))


def test_lazy_modules_get_their_sizes_from_the_images() -> None:
    network = trace(lazy(), SHAPE)
    assert {p.name: tuple(p.tensor.shape) for p in network.parameters()}["4.weight"] == (10, 144)
    with pytest.raises(
        FaultbenchError, match=r"^Sequential: 0\.weight has no size yet, as its module is lazy; run the"
    ):
        fb.protect(lazy(), "relu", torch.rand(4, *SHAPE))


def test_a_lazy_module_that_no_run_reaches_is_refused() -> None:
    class Unused(Net):
        def __init__(self) -> None:
            super().__init__()
            self.side = nn.LazyLinear(3)

    assert refused(Unused()).startswith("Unused: side.weight has no size after a run on an image of 1×8×8: ")
