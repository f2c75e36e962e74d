"""A network's output for an image is checked before anything long runs."""

from collections import OrderedDict
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn

from faultbench.cli.main import _exit_code
from faultbench.networks.outputs import require_classes
from faultbench.networks.tracing.trace import trace
from faultbench.system.errors import FaultbenchError
from tests.builders.labs import leaving_no_module

SHAPE = (1, 6, 6)


class Head(nn.Module):
    """A classifier of ten classes, whose output a subclass hands on in another form."""

    def __init__(self, n_classes: int = 10) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Flatten(), nn.Linear(36, 8), nn.ReLU(), nn.Linear(8, n_classes))

    def forward(self, x: Tensor) -> object:
        return self.handed_on(self.net(x))

    def handed_on(self, logits: Tensor) -> object:
        return logits


class Named(NamedTuple):
    logits: Tensor
    hidden: Tensor


class Pair(Head):
    def handed_on(self, logits: Tensor) -> object:
        return logits[0], logits


class Labelled(Head):
    def handed_on(self, logits: Tensor) -> object:
        return Named(logits, logits)


class Dictionary(Head):
    def handed_on(self, logits: Tensor) -> object:
        return OrderedDict(loss=logits.sum(), logits=logits)


class Detector(Head):
    def handed_on(self, logits: Tensor) -> object:
        return [{"boxes": logits}]


class Nothing(Head):
    def handed_on(self, logits: Tensor) -> object:
        self.net(logits.new_zeros(1, *SHAPE))


class Class(Head):
    def handed_on(self, logits: Tensor) -> object:
        return logits.argmax(dim=1)


class OneHot(Head):
    def handed_on(self, logits: Tensor) -> object:
        return logits > 0


class Complex(Head):
    def handed_on(self, logits: Tensor) -> object:
        return torch.complex(logits, logits)


class Flat(Head):
    def handed_on(self, logits: Tensor) -> object:
        return logits.flatten()


class Spread(Head):
    def handed_on(self, logits: Tensor) -> object:
        return logits.view(10, 1)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (Pair(), r"Pair gives a tuple of 2 for one image of 1×6×6; .*, such as output\[1\] of shape \(1, 10\)$"),
        (Labelled(), r"Labelled gives a Named of 2 \(logits, hidden\) for one image"),
        (Dictionary(), r"gives a OrderedDict of 'loss', 'logits' .*, such as output\['logits'\] of shape \(1, 10\)$"),
        (Detector(), "Detector gives a list of 1 for one image of 1×6×6; .* returns its logits alone$"),
        (Nothing(), "Nothing gives a NoneType for one image"),
        (Class(), r"Class gives \(1,\) for one image"),
        (OneHot(), "OneHot gives bool values for one image of 1×6×6; a classifier gives floating-point logits"),
        (Complex(), "Complex gives complex64 values for one image"),
        (Flat(), r"Flat gives \(10,\) for one image"),
        (Spread(), r"Spread gives \(10, 1\) for one image"),
        (Head(1), "Head gives 1 logit for one image of 1×6×6, so that every image has the same top-1 class"),
    ],
)
def test_an_output_that_is_no_row_of_logits_is_refused_in_one_line(model: nn.Module, message: str) -> None:
    with pytest.raises(FaultbenchError, match=message) as raised:
        trace(model, SHAPE)
    assert "\n" not in str(raised.value)


def test_as_many_logits_as_classes_are_taken_and_no_other_number() -> None:
    require_classes(torch.zeros(1, 10), 10, "net on data")
    with pytest.raises(FaultbenchError, match=r"^net on data: the network gives 1,001 logits and the data set has 10 "):
        require_classes(torch.zeros(1, 1001), 10, "net on data")


LAB = '''
from torch import nn

from faultbench.plugins.registry import model


@model("more_classes")
def more_classes(shape: tuple[int, int, int], n_classes: int) -> nn.Module:
    """Gives a logit more than the data set has classes, as networks with a class for the background do."""
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, n_classes + 1))


@model("a_class")
def a_class(shape: tuple[int, int, int], n_classes: int):
    """Gives the class of the network and no network."""
    return nn.Sequential


@model("pair")
def pair(shape: tuple[int, int, int], n_classes: int) -> nn.Module:
    """Network that returns its features too."""

    class Pair(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.last = nn.Linear(64, 8), nn.Linear(8, n_classes)

        def forward(self, x):
            features = self.first(x.flatten(1)).relu()
            return features, self.last(features)

    return Pair()
'''


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("more_classes", "more_classes on digits: the network gives 11 logits and the data set has 10 classes"),
        ("a_class", "a_class: the plug-in of this model gives a type; it must return a torch.nn.Module"),
        ("pair", "pair on digits: Pair gives a tuple of 2 for one image of 1×8×8"),
        ("resnet20", "resnet20 takes 32×32 images; given 8×8"),
    ],
)
@pytest.mark.parametrize("verb", ["plan", "run"])
def test_what_run_would_refuse_plan_refuses_too_and_nothing_is_written(
    verb: str, model: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "outputs_lab.py").write_text(LAB)
    text = f"name: c\nplugins: [outputs_lab]\ndatasets: [digits]\nmodels: [{model}]\nschemes: [relu]\nbers: [1e-5]\n"
    (tmp_path / "c.yaml").write_text(text)
    arguments = [verb, str(tmp_path / "c.yaml"), "-o", str(tmp_path / "results"), "--trust-plugins"]
    with leaving_no_module(tmp_path):
        assert _exit_code(arguments, debug=False) == 2
    (error,) = capsys.readouterr().err.splitlines()
    assert message in error
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize("verb", [["validate"], ["plan", "--no-timing"]])
def test_a_verb_that_builds_no_network_says_so(
    verb: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = "name: c\ndatasets: [digits]\nmodels: [resnet20]\nschemes: [relu]\nbers: [1e-5]\n"
    (tmp_path / "c.yaml").write_text(text)
    assert _exit_code([*verb, str(tmp_path / "c.yaml")], debug=False) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "Not checked: whether the networks can be built for these images, whether weights fit them" in out
    assert "`faultbench plan` without --no-timing builds the networks" in out
