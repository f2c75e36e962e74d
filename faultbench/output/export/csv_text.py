"""A data frame as CSV, the bytes that pandas writes, in a fraction of its time.

Tables of a hundred thousand trials say the same few texts and numbers again and again: each is written once and then
repeated. Numbers are written so that they read back bit for bit; what is not known is an empty field.
"""

import csv
import io
import re
from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

_FORMULA = re.compile(r"^[=+@\t\r-]")
"""How a text begins that spreadsheets calculate."""


def csv_text(frame: pd.DataFrame, labels: Sequence[str], *, has_header: bool = True) -> str:
    """The frame without its index, with a quote before those labels that a spreadsheet would take for formulas."""
    columns = [_fields(column, is_label=name in labels) for name, column in frame.items()]
    header = [",".join(map(_quoted, frame.columns))] if has_header else []
    # A newline ends the last line too.
    return "\n".join([*header, *map(",".join, zip(*columns, strict=True)), ""])


def _fields(column: pd.Series, *, is_label: bool) -> list[str]:
    """The fields of a column, top down."""
    place, values = _different(column)
    texts = ["" if is_unknown else str(value) for value, is_unknown in zip(values, pd.isna(values), strict=True)]
    if is_label:
        texts = [_FORMULA.sub(r"'\g<0>", text) for text in texts]
    if not pd.api.types.is_numeric_dtype(column):
        texts = list(map(_quoted, texts))
    return list(np.array(texts, dtype=object)[place])


def _different(column: pd.Series) -> tuple[NDArray[np.intp], NDArray[np.object_]]:
    """Each row's place among the different values, and these."""
    if column.dtype == np.float64:
        # By their bits: 0.0 is written otherwise than -0.0, which it equals.
        place, bits = pd.factorize(column.to_numpy().view(np.int64))
        return place, bits.view(np.float64).astype(object)
    place, values = pd.factorize(column, use_na_sentinel=False)
    return place, np.asarray(values, dtype=object)


def _quoted(text: object) -> str:
    """A field as the standard library's writer puts it."""
    line = io.StringIO()
    csv.writer(line).writerow((text, ""))
    return line.getvalue()[: -len(",\r\n")]
