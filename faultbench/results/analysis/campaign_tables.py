"""Tables of one campaign from which all other tables follow: cells, trials and overheads."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from faultbench.results.folder import Manifest
from faultbench.results.journal.strata import Hazards, Strata


@dataclass(frozen=True, eq=False)
class CampaignTables:
    """Cells, trials and overheads of one campaign, as its folder holds them when it is read.

    cells has a row for every cell of the manifest: a cell without trials has NaN accuracies, a cell with fewer trials
    than asked for is `limited`. remarks says, a sentence each, which lines of the journal are not in the rows.
    quarantined maps cells to their number of quarantined trials; hazards_of goes by subject, strata_of by cell.
    """

    folder: Path
    manifest: Manifest
    cells: pd.DataFrame
    trials: pd.DataFrame
    overhead: pd.DataFrame
    remarks: tuple[str, ...]
    n_missing: int = 0
    quarantined: Mapping[str, int] = field(default_factory=dict)
    hazards_of: Mapping[str, Hazards] = field(default_factory=dict)
    strata_of: Mapping[str, Strata] = field(default_factory=dict)
