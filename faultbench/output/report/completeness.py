"""Banner of the report: how complete the results are."""

from dataclasses import dataclass

from faultbench.results.analysis.results import Results


@dataclass(frozen=True)
class Progress:
    """Counts of the cells and trials that results have and lack; n_limited cells have some, but not all trials."""

    n_cells: int
    n_trials: int
    n_missing: int
    n_quarantined: int
    n_limited: int
    n_empty: int
    remarks: tuple[str, ...]

    @property
    def is_complete(self) -> bool:
        """Return whether every cell has all its trials."""
        return self.n_limited == self.n_empty == 0


def progress(results: Results) -> Progress:
    """Return the counts over the cells of the manifest; a quarantined trial is not missing."""
    cells = results.cells
    n_quarantined = sum(results.quarantined.values())
    return Progress(
        n_cells=len(cells),
        n_trials=len(results.trials),
        n_missing=results.n_missing,
        n_quarantined=n_quarantined,
        n_limited=int((cells.limited & (cells.trials > 0)).sum()),
        n_empty=int((cells.trials == 0).sum()),
        remarks=(
            *results.manifest.warnings,
            *(remark.removeprefix(f"{results.folder}: ") for remark in results.remarks),
        ),
    )
