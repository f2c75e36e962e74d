"""What `import faultbench as fb` offers: nothing heavy at import, one's own models protected and injected."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import faultbench as fb
from faultbench.datasets import Images, Splits
from faultbench.memory.faults.bernoulli import Bernoulli
from faultbench.memory.formats.fixed_point import FixedPoint
from faultbench.networks.network import Network
from faultbench.networks.stored.network_memory import fault_space
from faultbench.plugins.registry import catalogue
from faultbench.schemes.clip_act import ClipAct
from faultbench.system.errors import FaultbenchError
from tests.builders.campaign_texts import small
from tests.builders.networks import Residual, same_bits, some_images

NAMES = {
    *("load_campaign", "run", "read_results", "Results", "protect", "inject", "FaultbenchError"),
    *("model", "dataset", "scheme", "number_format", "fault_model", "engine"),
}

QUICK = {"schemes": "[relu]", "bers": "[1e-8]", "trials": "2", "images": "10", "training": "{epochs: 1}"}


def test_importing_the_package_imports_nothing_heavy():
    heavy = {"torch", "numpy", "pandas", "pydantic", "matplotlib", "click"}
    code = (
        f"import sys, faultbench as fb; assert {NAMES!r} <= set(dir(fb)); print(sorted({heavy!r} & sys.modules.keys()))"
    )
    used = ["load_campaign", "read_results", "Results", "scheme", "model", "FaultbenchError"]
    code += f"; [getattr(fb, name) for name in {used}]; import faultbench.schemes, faultbench.memory"
    code += "; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["[]", "False"]


def test_a_name_that_there_is_not_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'protekt'"):
        _ = fb.protekt


@pytest.mark.parametrize("package", ["", "schemes", "memory"])
def test_type_checkers_see_the_names_that_are_imported_when_used(package: str):
    file = Path(fb.__file__).parent / package / "__init__.py"
    (branch,) = (node for node in ast.parse(file.read_text(encoding="utf-8")).body if isinstance(node, ast.If))
    seen = {
        node.module: [alias.name for alias in node.names] for node in branch.body if isinstance(node, ast.ImportFrom)
    }
    (call,) = (node for node in ast.walk(branch.orelse[0]) if isinstance(node, ast.Call))
    assert seen == ast.literal_eval(call.args[1])


def test_a_campaign_runs_to_data_frames_and_reads_back(tmp_path: Path):
    (tmp_path / "small.yaml").write_text(small(**QUICK))
    campaign = fb.load_campaign(str(tmp_path / "small.yaml"))
    results = fb.run(campaign, tmp_path / "out", engine="serial", quiet=True)
    assert results.cells.trials.tolist() == [2]
    assert len(fb.read_results(str(tmp_path / "out" / "small")).trials) == 2


def bits(model: nn.Module) -> dict[str, Tensor]:
    return {name: parameter.detach().clone() for name, parameter in model.named_parameters()}


@pytest.mark.parametrize("format_", ["float32", "q15.16", "bfloat16"])
def test_flips_are_in_memory_inside_the_block_and_gone_after_an_exception(format_: str):
    model = Residual()
    before = bits(model)
    inside: list[bool] = []

    def interrupted() -> None:
        with fb.inject(model, ber=1e-2, format=format_, seed=1) as flips:
            inside.extend(same_bits(now, before[name]) for name, now in bits(model).items())
            raise RuntimeError(f"stopped with {len(flips)} flips")

    with pytest.raises(RuntimeError, match=r"stopped with \d\d+ flips"):
        interrupted()
    assert not all(inside)
    assert len(inside) == len(before)
    assert all(same_bits(after, before[name]) for name, after in bits(model).items())


def test_the_flips_are_those_of_a_trial_of_a_campaign(digits_cnn: Network):
    space = fault_space(digits_cnn, FixedPoint(15, 16), ("weights", "biases"))
    drawn = Bernoulli().draw(space, ber=1e-5, seed=5, trial=3)
    with fb.inject(digits_cnn.graph, ber=1e-5, format="q15.16", seed=5, trial=3) as flips:
        assert flips.digest == drawn.digest
    with fb.inject(digits_cnn.graph, ber=1e-5, format="q15.16", seed=5, trial=4) as others:
        assert others.digest != drawn.digest


def test_without_a_seed_and_a_trial_the_flips_are_those_of_seed_0_and_trial_0():
    with fb.inject(Residual(), ber=1e-2) as flips, fb.inject(Residual(), ber=1e-2, seed=0, trial=0) as of_zero:
        assert len(flips) > 0
        assert flips.digest == of_zero.digest
    for other in ({"seed": 1}, {"trial": 1}, {"seed": -1}):
        with fb.inject(Residual(), ber=1e-2, **other) as others:
            assert others.digest != flips.digest


def test_no_flips_leave_every_output_as_it_is():
    model = Residual().eval()
    x = some_images()
    golden = model(x)
    with fb.inject(model, ber=0) as flips:
        assert (len(flips), same_bits(model(x), golden)) == (0, True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ber": 0.7}, "must be 0 to 0.5; given 0.7"),
        ({"ber": 0.1, "format": "q15.61"}, "q15.61"),
        ({"ber": 0.1, "format": "flaot32"}, "did you mean 'float32'"),
    ],
)
def test_what_cannot_be_injected_is_one_line(options: dict[str, object], message: str):
    with pytest.raises(FaultbenchError, match=message.replace(".", r"\.")), fb.inject(Residual(), **options):  # type: ignore[arg-type]
        pass


def test_a_model_in_half_precision_is_refused():
    with pytest.raises(FaultbenchError, match="only float32"), fb.inject(Residual().half(), ber=0.1):
        pass


def test_a_protected_model_equals_the_plain_one_on_its_images_and_caps_what_flips_do():
    model, x = Residual().train(), some_images(50)
    protected = fb.protect(model, "clip_act", x)
    assert model.training
    plain = Residual().eval()
    with torch.no_grad():
        assert torch.allclose(protected(x), plain(x), atol=1e-5)
        bounds = {name: p for name, p in protected.named_parameters() if "bounds" in name}
        assert len(bounds) == 3
        assert not torch.allclose(protected(1e6 * x), plain(1e6 * x), rtol=0.1)
        with fb.inject(protected, ber=1e-3, seed=2):
            assert protected(x).shape == (50, 3)


def test_images_may_come_alone_with_labels_or_in_batches(digits_cnn: Network, digits: Splits):
    images = digits.train.first(200)
    batches = [(part.pixels, part.labels) for part in images.batches(32)]
    forms: list[object] = [images.pixels, images, batches]
    fitted = [fb.protect(digits_cnn.graph, ClipAct(granularity="channel"), form) for form in forms]  # type: ignore[arg-type]
    first, *others = (bits(model) for model in fitted)
    assert all(same_bits(first[name], other[name]) for other in others for name in first)


@pytest.mark.slow
def test_a_scheme_that_searches_uses_the_held_out_images(digits_cnn: Network, digits: Splits):
    alone = fb.protect(digits_cnn.graph, "ft_clipact", digits.train.first(100), seed=1)
    again = fb.protect(digits_cnn.graph, "ft_clipact", digits.train.first(100), seed=1)
    assert all(same_bits(value, bits(again)[name]) for name, value in bits(alone).items())
    held_out = Images(torch.zeros(50, 1, 8, 8), torch.zeros(50, dtype=torch.int64))
    other = fb.protect(digits_cnn.graph, "ft_clipact", digits.train.first(100), seed=1, held_out=held_out)
    assert not all(same_bits(value, bits(other)[name]) for name, value in bits(alone).items())


def test_parameters_are_what_memory_of_the_format_gives_back():
    protected = fb.protect(Residual(), "clip_act", some_images(20), format="bfloat16")
    for parameter in protected.parameters():
        assert same_bits(parameter, parameter.to(torch.bfloat16).float())


@pytest.mark.parametrize(
    ("scheme", "data", "message"),
    [
        ("clipact", some_images(), "did you mean 'clip_act'"),
        ("clip_act", some_images()[0], "images must be a tensor"),
        ("clip_act", some_images(0), "at least one"),
        ("clip_act", [], "no images"),
        ("clip_act", some_images(4, (3, 6, 6)), "fails on an image of 3×6×6"),
    ],
)
def test_what_cannot_be_protected_is_one_line(scheme: str, data: Tensor, message: str):
    with pytest.raises(FaultbenchError, match=message) as caught:
        fb.protect(Residual(), scheme, data)
    assert len(str(caught.value).splitlines()) == 1


def test_a_campaign_may_be_given_as_the_path_of_its_file(tmp_path: Path):
    (tmp_path / "small.yaml").write_text(small(**QUICK))
    results = fb.run(str(tmp_path / "small.yaml"), tmp_path / "out", engine="serial", quiet=True)
    assert results.cells.trials.tolist() == [2]


X = torch.rand(16, 1, 8, 8, generator=torch.Generator().manual_seed(0))
Y = torch.arange(16) % 10


@pytest.fixture(scope="module")
def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(288, 10)).eval()


def bound(model: nn.Module) -> float:
    return next(float(tensor.max()) for name, tensor in model.named_parameters() if "bounds" in name)


def test_the_class_of_a_scheme_stands_for_its_defaults(net: nn.Module):
    assert (
        bound(fb.protect(net, ClipAct, X)) == bound(fb.protect(net, "clip_act", X)) == float(net[:2](X).detach().max())
    )


def test_bytes_are_protected_as_the_floats_that_they_stand_for(net: nn.Module):
    in_bytes = (255 * X).byte()
    assert bound(fb.protect(net, "clip_act", in_bytes)) == float(net[:2](in_bytes.float() / 255).detach().max())


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("scheme", [name for name in catalogue("scheme") if name != "relu"])
def test_images_that_are_not_finite_are_named_and_refused(scheme: str, value: float, net: nn.Module):
    spoilt = X.clone()
    spoilt[5, 0, 0, 0] = value
    with pytest.raises(FaultbenchError, match="protect: data: NaN, infinite or huge values in image 5; fix these"):
        fb.protect(net, scheme, spoilt)
    with pytest.raises(FaultbenchError, match="protect: held_out: NaN, infinite or huge values in image 5"):
        fb.protect(net, scheme, X, held_out=spoilt)


def test_labels_in_a_column_are_as_good_as_in_a_row(net: nn.Module):
    row, column = (bits(fb.protect(net, "ft_clipact", [(X, labels)])) for labels in (Y, Y[:, None]))
    assert all(same_bits(row[name], column[name]) for name in row)


class Half:
    """A scheme of one's own that fails."""

    def granularity_at(self, site: object, *, is_last: bool) -> str:  # noqa: ARG002 - the protocol's
        return "layer"

    def activation(self, bounds: Tensor) -> nn.Module:  # noqa: ARG002 - the protocol's
        return nn.ReLU()

    def fit(self, fitting: object) -> None:
        raise KeyError(str(fitting)[:4])


MISTAKES: dict[str, tuple[dict[str, object], str]] = {
    "no model": ({"model": None}, "protect: model must be a torch.nn.Module; given None"),
    "a model's class": ({"model": Residual}, "protect: model must be a torch.nn.Module; given the class Residual"),
    "no scheme": ({"scheme": None}, "protect: scheme must be a name such as 'clip_act', or a scheme"),
    "another class": ({"scheme": nn.ReLU}, "protect: scheme must be a name .* given the class ReLU"),
    "a scheme that fails": ({"scheme": Half}, "protect: fit Half: KeyError"),
    "a share above all": (
        {"scheme": ClipAct(quantile=2.0)},
        "ClipAct: quantile must be less than or equal to 1; given 2",
    ),
    "a share in words": ({"scheme": ClipAct(quantile="1")}, "ClipAct: quantile must be a valid number; given '1'"),  # type: ignore[arg-type]  # wrong on purpose
    "a scripted model": (
        {"model": torch.jit.script(nn.Flatten())},
        "protect: model must be the torch.nn.Module that was scripted",
    ),
    "labels without values": ({"data": [(X, Y.to("meta"))]}, "labels must be a dense tensor of class numbers"),
    "a format by number": ({"format": 32}, "protect: format must be a name such as 'float32'; given 32"),
    "no batch": ({"batch": 0}, "protect: batch must be a whole number from 1; given 0"),
    "half a batch": ({"batch": 1.5}, "protect: batch must be a whole number from 1; given 1.5"),
    "a true batch": ({"batch": True}, "protect: batch must be a whole number from 1; given True"),
    "a seed in words": ({"seed": "x"}, "protect: seed must be a whole number; given 'x'"),
    "no schedule": ({"schedule": "slow"}, "protect: schedule must be paper or fast; given 'slow'"),
    "labels from 1": ({"data": [(X, Y + 1)]}, "protect: data: labels must be 0 to 9.* subtract 1"),
    "held out of another shape": ({"held_out": X[..., :6]}, "protect: held_out: images of 1×8×6, those of data"),
    "held out with wrong labels": ({"held_out": (X, Y - 3)}, "protect: held_out: labels must be 0 to 9"),
    "channels last": ({"data": X.permute(0, 2, 3, 1)}, r"channels come last in these: use images\.permute"),
}


@pytest.mark.parametrize(("given", "message"), MISTAKES.values(), ids=MISTAKES)
def test_arguments_of_another_kind_are_one_line(given: dict[str, object], message: str, net: nn.Module):
    wanted: dict[str, object] = {"model": net, "scheme": "clip_act", "data": X, **given}
    with pytest.raises(FaultbenchError, match=message) as raised:
        fb.protect(**wanted)  # type: ignore[arg-type]  # they are wrong on purpose
    assert len(str(raised.value).splitlines()) == 1


@pytest.mark.parametrize("value", ["1e-3", None, True, torch.nan, -1e-9, torch.rand(3), [0.1]])
def test_a_bit_error_rate_is_a_number(value: object):
    with pytest.raises(FaultbenchError, match=r"inject: ber, a bit error rate, must be 0 to 0\.5"):
        fb.inject(Residual(), ber=value).__enter__()  # type: ignore[arg-type]  # it is wrong on purpose


@pytest.mark.parametrize("options", [{"format": None}, {"seed": 1.5}, {"trial": -1}, {"trial": "1"}, {"model": "net"}])
def test_what_inject_is_given_is_of_its_kind(options: dict[str, object]):
    (name,) = options
    with pytest.raises(FaultbenchError, match=f"inject: {name} must be "):
        fb.inject(**{"model": Residual(), "ber": 0.1, **options}).__enter__()  # type: ignore[arg-type]  # as above


RUNS: dict[str, dict[str, object]] = {
    "campaign": {"campaign": {"name": "x"}},
    "root": {"root": None},
    "n_workers": {"n_workers": 0},
    "limit": {"limit": "5"},
    "engine": {"engine": None},
    "device": {"device": "gpu"},
}


@pytest.mark.parametrize(("name", "options"), RUNS.items(), ids=RUNS)
def test_what_run_is_given_is_of_its_kind(name: str, options: dict[str, object], tmp_path: Path):
    (tmp_path / "small.yaml").write_text(small())
    with pytest.raises(FaultbenchError, match=f"^run: {name} must be "):
        fb.run(**{"campaign": tmp_path / "small.yaml", "root": tmp_path, "quiet": True, **options})  # type: ignore[arg-type]
    assert [path.name for path in tmp_path.iterdir()] == ["small.yaml"]


@pytest.mark.parametrize("path", [None, 3, ["small.yaml"], {}])
def test_a_path_is_a_path(path: object):
    for read in (fb.load_campaign, fb.read_results):
        with pytest.raises(FaultbenchError, match="path must be the path of a "):
            read(path)  # type: ignore[operator]  # it is wrong on purpose


def test_overrides_are_a_list(tmp_path: Path):
    (tmp_path / "small.yaml").write_text(small())
    with pytest.raises(
        FaultbenchError, match="overrides must be a list of texts such as 'trials=100'; given 'trials=9'"
    ):
        fb.load_campaign(tmp_path / "small.yaml", "trials=9")
