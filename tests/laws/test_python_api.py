"""What `import faultbench as fb` offers: nothing heavy at import, one's own models protected and injected."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from campaign_texts import small
from networks import Residual, same_bits, some_images
from torch import Tensor, nn

import faultbench as fb
from faultbench.datasets import Images, Splits
from faultbench.memory.faults.bernoulli import Bernoulli
from faultbench.memory.formats.fixed_point import FixedPoint
from faultbench.networks.network import Network
from faultbench.schemes.clip_act import ClipAct
from faultbench.system.errors import FaultbenchError
from faultbench.trials.evaluation import fault_space

NAMES = {"load_campaign", "run", "read_results", "protect", "inject"}


def test_importing_the_package_imports_nothing_heavy():
    heavy = {"torch", "numpy", "pandas", "pydantic", "matplotlib", "click"}
    code = (
        f"import sys, faultbench as fb; assert {NAMES!r} <= set(dir(fb)); print(sorted({heavy!r} & sys.modules.keys()))"
    )
    code += "; fb.load_campaign, fb.read_results; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["[]", "False"]


def test_a_name_that_there_is_not_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'protekt'"):
        _ = fb.protekt


def test_the_stub_lists_what_there_is():
    stub = Path(fb.__file__).with_suffix(".pyi").read_text(encoding="utf-8")
    assert {line.split(" as ")[1] for line in stub.splitlines() if " as " in line} == NAMES


def test_a_campaign_runs_to_data_frames_and_reads_back(tmp_path: Path):
    (tmp_path / "small.yaml").write_text(small(schemes="[relu]", bers="[1e-8]", trials="2", images="10"))
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
        ("clip_act", some_images(4, (3, 6, 6)), "does not take images of 3×6×6"),
    ],
)
def test_what_cannot_be_protected_is_one_line(scheme: str, data: Tensor, message: str):
    with pytest.raises(FaultbenchError, match=message) as caught:
        fb.protect(Residual(), scheme, data)
    assert len(str(caught.value).splitlines()) == 1
