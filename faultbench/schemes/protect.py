"""Protection of a torch model of your own, with bounds fitted on your own images."""

import inspect
import warnings
from contextlib import nullcontext
from pathlib import Path
from typing import cast, get_args

import torch
from pydantic import ValidationError
from torch import Tensor, nn

from faultbench.campaign.choices import options_model
from faultbench.datasets import Images
from faultbench.datasets.image_checks import range_problem
from faultbench.datasets.image_collections import Data, ImageCollection, class_numbers, collect_images
from faultbench.networks.agreement.sample_images import N_COMPARED
from faultbench.networks.failures import reason_of
from faultbench.networks.network import Network
from faultbench.networks.stored.network_memory import store_parameters
from faultbench.networks.stored.reparametrised_weights import own_copy
from faultbench.networks.stored.shared_memory import require_own_memory
from faultbench.networks.tracing.lazy_modules import require_sizes
from faultbench.networks.tracing.trace import trace
from faultbench.plugins import registry
from faultbench.plugins.modules import as_user_error
from faultbench.schemes.fitting.bound_checks import fit_and_check
from faultbench.schemes.scheme import Fitting, Schedule, Scheme, protect_copy
from faultbench.system import arguments
from faultbench.system.errors import FaultbenchError
from faultbench.system.progress.reporter import SilentReporter
from faultbench.system.random_streams import seed_of


def protect(
    model: nn.Module,
    scheme: str | Scheme | type[Scheme],
    data: Data,
    *,
    held_out: Data | None = None,
    format: str = "float32",  # noqa: A002 - the campaign file's word
    seed: int = 0,
    batch: int = 64,
    schedule: Schedule = "fast",
) -> nn.Module:
    """Return a protected copy of a classifier, on the CPU in eval mode; the model stays as it is.

    scheme is a name that `faultbench list schemes` prints, or a scheme with options of your own, such as
    `ClipAct(granularity="channel")`; a class means its default options. Bounds are fitted on data. A scheme that
    searches or accepts bounds does so on held_out, by default on the same images. `collect_images` lists the
    forms of both; bytes are divided by 255, all else goes to the model as it is. Without labels the model's own
    classes stand in. Parameters and bounds become what memory of this format gives back of them. FaultbenchError, one
    line, for arguments of another kind, a model that cannot be traced or bounded, and images that it does not take.
    """
    chosen, source = _resolve_scheme(scheme)
    codec = registry.build("number_format", arguments.text("protect: format", format, "a name such as 'float32'"), {})
    batch = arguments.whole_number("protect: batch", batch, lowest=1)
    seed = arguments.whole_number("protect: seed", seed, lowest=-(2**63))
    schedule = cast("Schedule", arguments.choice("protect: schedule", schedule, get_args(Schedule)))
    _require_model(model)
    collected = collect_images(data, "protect: data")
    network = _trace_copy(model, collected.pixels)
    store_parameters(network, codec)
    images = _label(network, collected, "protect: data", batch=batch)
    fitting = Fitting(
        network=network,
        train=images,
        calibration=images if held_out is None else _collect_held_out(network, held_out, images, batch=batch),
        augment=_unaugmented,
        codec=codec,
        batch=batch,
        schedule=schedule,
        seed=seed_of(seed, "protect"),
        title=f"protect: fit {scheme}" if isinstance(scheme, str) else f"protect: fit {type(chosen).__name__}",
        reporter=SilentReporter(),
    )
    fitted = fit_and_check(chosen, fitting, source)
    if fitted.remark is not None:
        warnings.warn(f"{fitting.title}: {fitted.remark}", stacklevel=2)
    with nullcontext() if source is None else as_user_error(fitting.title, source):
        twin = protect_copy(network, chosen, fitted.bounds)
    store_parameters(twin, codec)
    return twin.graph


def _require_model(model: object) -> None:
    if not isinstance(model, nn.Module):
        arguments.refuse("protect: model", model, "a torch.nn.Module")
    if isinstance(model, torch.jit.ScriptModule):
        arguments.refuse("protect: model", model, "the torch.nn.Module that was scripted")
    require_sizes(model)


def _resolve_scheme(scheme: object) -> tuple[Scheme, Path | None]:
    """Return the scheme, and its source file if it is not one of faultbench's."""
    if isinstance(scheme, str):
        return registry.build("scheme", scheme, {}), None
    kind = scheme if isinstance(scheme, type) else type(scheme)
    if not all(callable(getattr(kind, name, None)) for name in ("granularity_at", "activation", "fit")):
        arguments.refuse("protect: scheme", scheme, "a name such as 'clip_act', or a scheme such as ClipAct()")
    source = None if kind.__module__.startswith("faultbench.") else Path(_file_of(kind))
    try:
        chosen = scheme() if isinstance(scheme, type) else scheme
    except TypeError as error:
        raise FaultbenchError(f"protect: scheme: {kind.__name__} needs options ({error}); give an instance") from error
    _require_options(chosen, kind)
    return cast("Scheme", chosen), source


def _require_options(scheme: object, kind: type) -> None:
    """Raise FaultbenchError for options that a campaign file may not give, since a dataclass takes any value."""
    schemes = registry.catalogue("scheme").values()
    entry = next(
        (known for known in schemes if (known.module, known.attribute) == (kind.__module__, kind.__name__)), None
    )
    if entry is None:
        return
    options = {name: getattr(scheme, name) for name in entry.options}
    options = {name: tuple(value) if isinstance(value, list) else value for name, value in options.items()}
    try:
        options_model(entry).model_validate(options)
    except ValidationError as error:
        problem = error.errors()[0]
        name, reason = str(problem["loc"][0]), problem["msg"].replace("Input should", "must", 1)
        raise FaultbenchError(f"protect: scheme: {kind.__name__}: {name} {reason}; given {options[name]!r}") from error


def _file_of(kind: type) -> str:
    try:
        return inspect.getsourcefile(kind) or kind.__module__
    except (TypeError, OSError):  # a class typed at a prompt has no file
        return kind.__module__


def _trace_copy(model: nn.Module, pixels: Tensor) -> Network:
    _, channels, height, width = pixels.shape
    require_own_memory(model)
    try:
        copied = own_copy(model).cpu()
    except FaultbenchError:
        raise
    except Exception as error:  # a scripted module, a handle, a tensor that has a history
        reason = f"{type(error).__name__}: {reason_of(error)}"
        raise FaultbenchError(f"protect: model: {type(model).__name__} cannot be copied: {reason}") from error
    try:
        return trace(copied, (channels, height, width), pixels[:N_COMPARED])
    except FaultbenchError as error:
        if width in (1, 3) and channels not in (1, 3):
            raise FaultbenchError(f"{error}; channels come last in these: use images.permute(0, 3, 1, 2)") from error
        raise


def _unaugmented(pixels: Tensor, _generator: torch.Generator) -> Tensor:
    return pixels


def _collect_held_out(network: Network, data: Data, images: Images, *, batch: int) -> Images:
    collected, shape = collect_images(data, "protect: held_out"), images.stored.shape[1:]
    if collected.pixels.shape[1:] != shape:
        sizes = ["×".join(map(str, sizes)) for sizes in (collected.pixels.shape[1:], shape)]
        raise FaultbenchError(f"protect: held_out: images of {sizes[0]}, those of data are {sizes[1]}")
    return _label(network, collected, "protect: held_out", batch=batch)


@torch.inference_mode()
def _label(network: Network, collected: ImageCollection, where: str, *, batch: int) -> Images:
    """Return collected images with their labels, or with the network's own classes if they have none."""
    if collected.labels is None:
        parts = torch.split(collected.pixels, batch)
        return Images(collected.pixels, torch.cat([network(part).argmax(dim=1) for part in parts]).clone())
    labels = class_numbers(collected.labels, where)
    if problem := range_problem(labels, network(collected.pixels[:1]).shape[1]):
        raise FaultbenchError(f"{where}: {problem}")
    return Images(collected.pixels, labels.clone())
