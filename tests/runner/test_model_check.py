"""Models in memory that the gate takes: those whose state dict a file can hold, and one line for every other."""

from pathlib import Path

import pytest
import torch
from torch import nn

from faultbench.runner.model_check import check_model
from faultbench.system.errors import FaultbenchError


class WithExtra(nn.Linear):
    """Keeps something in its state dict that is no tensor."""

    def get_extra_state(self) -> dict[str, int]:
        return {"version": 2}


def with_buffer(buffer: torch.Tensor) -> nn.Module:
    network = nn.Linear(2, 2)
    network.register_buffer("extra", buffer)
    return network


@pytest.mark.filterwarnings("ignore:.*quantiz", "ignore:Sparse", "ignore:Lazy modules")
@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: nn.Linear(2, 2, device="meta"), "weight of its state dict is a quantised, sparse or meta tensor"),
        (lambda: nn.LazyLinear(2), "weight of its state dict is no tensor but a UninitializedParameter"),
        (lambda: WithExtra(2, 2), "_extra_state of its state dict is no tensor but a dict"),
        (lambda: with_buffer(torch.eye(2).to_sparse()), "extra of its state dict is a quantised, sparse or meta"),
        (
            lambda: with_buffer(torch.quantize_per_tensor(torch.eye(2), 0.1, 0, torch.qint8)),
            "extra of its state dict is a quantised, sparse or meta",
        ),
    ],
)
def test_a_model_whose_state_no_file_holds_is_refused(make, reason: str, tmp_path: Path) -> None:
    text = "{name: t, datasets: [digits], models: [digits_cnn], schemes: [relu], bers: [1e-5], trials: 2, images: 20}"
    (tmp_path / "t.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(FaultbenchError, match=f"^model: {reason}.*; give a network of plain, dense tensors"):
        check_model(make(), tmp_path / "t.yaml", tmp_path / "none.json", tmp_path, updates=True)


SAMPLED = "{name: t, datasets: [digits], models: [digits_cnn], schemes: [relu], bers: [1e-5], trials: 2, images: %s}"


@pytest.mark.parametrize("updates", [True, False])
def test_trials_over_some_of_the_images_are_held_against_no_baseline(updates: bool, tmp_path: Path) -> None:
    (tmp_path / "t.yaml").write_text(SAMPLED % "{per_trial: 8}", encoding="utf-8")
    with pytest.raises(FaultbenchError, match=r"t\.yaml: images: a baseline holds trials over the same images; given"):
        check_model(None, tmp_path / "t.yaml", tmp_path / "none.json", tmp_path / "ran", updates=updates)
    assert not (tmp_path / "ran").exists()
