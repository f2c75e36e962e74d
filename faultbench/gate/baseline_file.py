"""The file of a baseline: one line per cell, written whole or not at all, and checked when it is read."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from faultbench.gate.baseline import Baseline
from faultbench.results.recorded_texts import first_error
from faultbench.system.errors import FaultbenchError
from faultbench.system.files.disk import replaced
from faultbench.system.files.regular_files import UnsoundFileError, read_regular

MAX_BYTES = 2**26


def write_baseline(baseline: Baseline, path: Path) -> None:
    """Write a baseline, whole or not at all; equal campaigns give equal bytes, and a changed cell changes one line."""
    head: Mapping[str, Any] = baseline.model_dump(mode="json")
    lines = [f" {json.dumps(key)}: {json.dumps(head[key], sort_keys=True)}" for key in head if key != "cells"]
    cells = sorted(baseline.cells, key=lambda cell: cell.cell_name)
    listed = ",\n".join(f"  {json.dumps(cell.model_dump(mode='json'))}" for cell in cells)
    text = "{\n" + ",\n".join([*lines, f' "cells": [\n{listed}\n ]']) + "\n}\n"
    with replaced(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def read_baseline(path: Path) -> Baseline:
    """Return the baseline in a file; a file that holds none is a FaultbenchError of one line."""
    try:
        data = read_regular(path, MAX_BYTES)
    except FileNotFoundError as error:
        raise FaultbenchError(f"{path}: no such baseline; add --update-baseline to write it") from error
    except UnsoundFileError as error:
        raise FaultbenchError(f"{path}: no faultbench baseline: {error}") from error
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the path
        raise FaultbenchError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
    try:
        return Baseline.model_validate_json(data)
    except ValidationError as error:
        raise FaultbenchError(
            f"{path}: no faultbench baseline: {first_error(error)}; write it with --update-baseline"
        ) from error
