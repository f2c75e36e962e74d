"""Errors of a user's network while it is trained or run, as one line that names the module and what to do."""

import linecache
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

import torch
from torch import Tensor, nn

from faultbench.system.errors import EngineError, FaultbenchError
from faultbench.system.printable import shortened

LONGEST_REASON = 300
"""Characters of a library's message that an error repeats, at most."""

_LONGEST_LINE = 80
_NOT_THEIRS = (str(Path(torch.__file__).parent), str(Path(__file__).parent.parent))
"""Folders of torch and of faultbench; all other source is the user's."""


@contextmanager
def network_errors(title: str, model: nn.Module) -> Iterator[None]:
    """Turn errors that a network raises inside the block into a FaultbenchError with module and line of source.

    EngineError if memory ran out.
    """
    try:
        yield
    except FaultbenchError:
        raise
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise EngineError(f"{title}: out of memory: {reason_of(error)}; give training.batch a smaller value") from error
    except Exception as error:
        raise FaultbenchError(
            f"{title}: {type(model).__name__} raises {type(error).__name__}: {reason_of(error)}"
            f"{_place(error.__traceback__, model)}; try it on one batch of the images by itself"
        ) from error


def require_training_logits(output: object, title: str, n_images: int) -> Tensor:
    """Return a network's output in train mode for a batch; it must be floating-point logits [images, classes]."""
    if isinstance(output, Tensor) and output.dim() == 2 and len(output) == n_images and output.is_floating_point():
        return output
    match output:
        case Tensor():
            given = f"a tensor of {output.dtype} and shape {list(output.shape)} for {n_images} images"
        case tuple() | list():
            given = f"a {type(output).__name__} of {len(output)}"
        case _:
            given = f"a {type(output).__name__}"
    raise FaultbenchError(
        f"{title}: the network gives {given} in train mode; training needs logits [images, classes]: switch side heads "
        "off (torchvision: aux_logits=False), return the logits alone, or give trained `weights:`"
    )


def reason_of(error: BaseException) -> str:
    """Return an error's text in one line of limited length; its class where it has none."""
    return shortened(" ".join(str(error).split()) or type(error).__name__, LONGEST_REASON)


def _place(trace: TracebackType | None, model: nn.Module) -> str:
    """Return the innermost module and the last line of the user's source that ran; empty if neither is known."""
    paths = {id(module): path for path, module in model.named_modules()}
    module, line = "", ""
    for frame, number in traceback.walk_tb(trace):
        owner = frame.f_locals.get("self")
        if isinstance(owner, nn.Module) and id(owner) in paths:
            module = f" in {paths[id(owner)] or 'the model itself'} ({type(owner).__name__})"
        file = frame.f_code.co_filename
        if not file.startswith(_NOT_THEIRS):
            line = f" at {file}:{number}: {linecache.getline(file, number).strip()[:_LONGEST_LINE]}"
    return module + line
