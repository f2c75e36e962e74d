"""Check of a network in memory: its weights take the place of a campaign's, in a folder of its own."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from faultbench.campaign import Campaign, load_campaign
from faultbench.gate.judge import MAX_DROP, read_criteria
from faultbench.gate.text import table_text
from faultbench.runner.check import check_campaign, update_baseline
from faultbench.runner.engines.serial import Serial
from faultbench.runner.run_options import RunSetup
from faultbench.system.errors import FaultbenchError
from faultbench.system.progress.reporter import SilentReporter


@dataclass(frozen=True)
class CheckResult:
    """Result of a check: one line of summary, the tables to show, whether it failed, and a line per undecided cell."""

    summary: str
    text: str
    failed: bool
    undecided: Sequence[str]


def check_model(
    model: nn.Module | None,
    campaign: Path,
    baseline: Path,
    folder: Path,
    *,
    max_drop: str = MAX_DROP,
    max_gain: str | None = None,
    fail_if: Sequence[str] = (),
    is_strict: bool = False,
    updates: bool = False,
) -> CheckResult:
    """Run the campaign inside folder, with the model's weights if one is given, and compare it with the baseline.

    updates writes the baseline instead. FaultbenchError if the campaign, the model, the baseline and the limits do not
    go together.
    """
    loaded = load_campaign(campaign) if model is None else _with_weights(campaign, model, folder)
    compared = None if updates else baseline
    criteria = read_criteria(
        loaded, baseline=compared, max_drop=max_drop, max_gain=max_gain, fail_if=fail_if, is_strict=is_strict
    )
    setup = RunSetup(folder / "results", Serial(n_workers=1), SilentReporter())
    if updates:
        judgement = update_baseline(loaded, setup, criteria, baseline)
    else:
        judgement = check_campaign(loaded, setup, criteria)
    undecided = [f"{each.name}: {each.reason}" for each in judgement.findings if each.state == "undecided"]
    return CheckResult(judgement.summary, table_text(judgement), judgement.exit_code != 0, undecided)


def _with_weights(path: Path, model: nn.Module, folder: Path) -> Campaign:
    """Return the campaign with the model's weights, saved in the folder, in place of those that it names or trains."""
    if not isinstance(model, nn.Module):
        raise FaultbenchError(f"model: a trained torch.nn.Module is needed, or None; given a {type(model).__name__}")
    entries = load_campaign(path).spec["models"]
    if len(entries) != 1:
        raise FaultbenchError(
            f"{path}: models: {len(entries)} entries; a model given in memory takes the place of the weights of one"
        )
    state = model.state_dict()
    for name, value in state.items():
        _require_plain(name, value)
    weights = folder / "model.safetensors"
    # Copies, because safetensors refuses tensors that share memory, such as those of a layer used twice.
    save_file({name: tensor.detach().cpu().clone().contiguous() for name, tensor in state.items()}, weights)
    entry = {**entries[0], "weights": str(weights.absolute())}
    return load_campaign(path, [f"models={json.dumps([entry])}"])


def _require_plain(name: str, value: object) -> None:
    if not isinstance(value, Tensor) or nn.parameter.is_lazy(value):
        reason = f"no tensor but a {type(value).__name__}"
    elif value.layout != torch.strided or value.is_quantized or value.is_meta:
        reason = "a quantised, sparse or meta tensor"
    else:
        return
    raise FaultbenchError(f"model: {name} of its state dict is {reason}; give a network of plain, dense tensors")
