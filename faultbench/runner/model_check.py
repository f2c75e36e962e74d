"""The gate for a network in memory: its weights in place of a campaign's, everything in a folder of its own."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from safetensors.torch import save_file
from torch import nn

from faultbench.campaign import Campaign, load_campaign
from faultbench.gate.judge import MAX_DROP, read_demands
from faultbench.gate.text import table_text
from faultbench.runner.check import Running, check, update
from faultbench.runner.engines.serial import Serial
from faultbench.runner.run_options import Terms
from faultbench.system.errors import FaultbenchError
from faultbench.system.progress.reporter import Silent


@dataclass(frozen=True)
class Found:
    """What a check came to: in a line, as the tables to show, and whether it failed."""

    summary: str
    text: str
    failed: bool


def check_model(
    model: nn.Module | None,
    campaign: Path,
    baseline: Path,
    folder: Path,
    *,
    max_drop: str = MAX_DROP,
    fail_if: Sequence[str] = (),
    is_strict: bool = False,
    updates: bool = False,
) -> Found:
    """Run the campaign inside folder, with the model's weights if one is given, and hold it against the baseline.

    updates writes the baseline instead. FaultbenchError for a campaign, a model, a baseline or limits that do not go
    together.
    """
    loaded = load_campaign(campaign) if model is None else _with_weights(campaign, model, folder)
    compared = None if updates else baseline
    demands = read_demands(loaded, baseline=compared, max_drop=max_drop, fail_if=fail_if, is_strict=is_strict)
    running = Running(folder / "results", Serial(n_workers=1), Silent(), Terms())
    found = update(loaded, running, demands, baseline) if updates else check(loaded, running, demands)
    return Found(found.summary, table_text(found), found.exit_code != 0)


def _with_weights(path: Path, model: nn.Module, folder: Path) -> Campaign:
    """The campaign with the weights of the model, kept in the folder, in place of those that it names or trains."""
    if not isinstance(model, nn.Module):
        raise FaultbenchError(f"model: a trained torch.nn.Module is needed, or None; given a {type(model).__name__}")
    entries = load_campaign(path).spec["models"]
    if len(entries) != 1:
        raise FaultbenchError(
            f"{path}: models: {len(entries)} entries; a model given in memory takes the place of the weights of one"
        )
    weights = folder / "model.safetensors"
    # Copies, since safetensors refuses tensors that share memory, as those of a layer used twice do.
    save_file(
        {name: tensor.detach().cpu().clone().contiguous() for name, tensor in model.state_dict().items()}, weights
    )
    entry = {**entries[0], "weights": str(weights.absolute())}
    return load_campaign(path, [f"models={json.dumps([entry])}"])
