"""FT-ClipAct, which searches clipping thresholds by injecting faults."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Annotated, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from faultbench.memory.fault_map import FaultMap
from faultbench.memory.faults.bernoulli import Bernoulli
from faultbench.networks.network import Network, Site
from faultbench.networks.stored.network_memory import fault_space
from faultbench.plugins.registry import scheme
from faultbench.schemes.bounded_activations import ClipToZero, Granularity
from faultbench.schemes.fitting.effort import FittingEffort, FittingExtent, limited_count
from faultbench.schemes.fitting.profile import profiled_bounds
from faultbench.schemes.scheme import Fitted, Fitting, Schedule, granularities
from faultbench.system.progress.reporter import Task
from faultbench.trials.evaluation import Evaluation
from faultbench.trials.staging.golden_run import Staging

N_INJECTIONS = {"paper": 20, "fast": 4}
"""Number of fault maps at each rate if the option `injections` is not given."""


@scheme("ft_clipact")
@dataclass(frozen=True)
class FtClipAct:
    """Clip to zero above thresholds searched for the best accuracy under injected faults.

    Hoang, Hanif, Shafique: FT-ClipAct, DATE 2020 (arXiv 1912.00941), interval search over the area under the
    accuracy curve. Faults hit the layers that feed the site, or the whole network with `search_scope: network`;
    the other sites are unbounded. A site that no layer feeds, so that no fault of the search reaches it, keeps its
    profiled maximum. `search_images` limits the held-out training images that the search runs.
    """

    search_scope: Literal["layer", "network"] = "layer"
    nan_policy: Literal["zero", "propagate"] = "zero"
    iterations: Annotated[int, Field(ge=1)] = 4
    min_iterations: Annotated[int, Field(ge=1)] = 3
    delta: Annotated[float, Field(ge=0)] = 0.2
    injections: Annotated[int, Field(ge=1)] | None = None
    search_images: Annotated[int, Field(ge=1)] | None = None
    rates: Annotated[tuple[Annotated[float, Field(gt=0, le=0.5)], ...], Field(min_length=2)] = (
        1e-7,
        1e-6,
        3e-6,
        1e-5,
        3e-5,
    )

    def granularity_at(self, site: Site, *, is_last: bool) -> Granularity:
        """Return layer: every site has one threshold."""
        return "layer"

    def activation(self, bounds: Tensor) -> nn.Module:
        """Return an activation that gives x within 0..threshold, and 0 elsewhere."""
        return ClipToZero(bounds, nan_policy=self.nan_policy)

    def fit(self, fitting: Fitting) -> Fitted:
        """Search the threshold of each site in forward order, starting from its profiled maximum."""
        maxima = profiled_bounds(fitting, granularities(fitting.network, self))
        fitted = fitting.checkpoint.load()
        with fitting.reporter.task(fitting.title, len(maxima), unit="sites") as task:
            task.advance(len(fitted.bounds))
            for site in fitting.network.sites[len(fitted.bounds) :]:
                fitted = self._with_site(fitted, site, float(maxima[site.name]), fitting, task)
                fitting.checkpoint.save(fitted)
                note = f"{site.name}: {fitted.bounds[site.name]:.3f}, {fitted.n_injections} injections so far"
                task.advance(note=note)
        return fitted

    def _with_site(self, fitted: Fitted, site: Site, highest: float, fitting: Fitting, task: Task) -> Fitted:
        """Search the threshold of one more site, between 0 and highest, and return it with the earlier ones."""
        resilience = self._resilience(site, fitting)
        if not resilience.has_faults:
            unsearched = (*fitted.unsearched, site.name)
            return replace(fitted, bounds={**fitted.bounds, site.name: torch.tensor(highest)}, unsearched=unsearched)

        def measure(threshold: float) -> float:
            area = resilience(threshold)
            n_injections = fitted.n_injections + resilience.n_injections
            task.advance(0, note=f"{site.name}: {threshold:.3f}, area {area:.1f}, {n_injections} injections so far")
            return area

        threshold = torch.tensor(self.search(highest, measure), dtype=torch.float32)
        n_injections = fitted.n_injections + resilience.n_injections
        return replace(fitted, bounds={**fitted.bounds, site.name: threshold}, n_injections=n_injections)

    def _resilience(self, site: Site, fitting: Fitting) -> "ThresholdResilience":
        searched = replace(fitting, calibration=fitting.calibration.first(self.search_images))
        return ThresholdResilience(
            searched,
            site,
            self.rates,
            self._n_injections(fitting.schedule),
            whole_network=self.search_scope == "network",
        )

    def search(self, highest: float, auc: Callable[[float], float]) -> float:
        """Return the threshold in 0..highest that maximises auc, found by narrowing an interval of four points."""
        low, high = 0.0, highest
        for iteration in range(1, self.iterations + 1):
            # linspace returns both ends exactly, so their areas are already known.
            points: list[float] = np.linspace(low, high, 4).tolist()
            areas = [auc(point) for point in points]
            best = int(np.argmax(areas))
            low, high = points[max(best - 1, 0)], points[min(best + 1, 3)]
            if iteration >= self.min_iterations and np.abs(np.diff(areas)).max() <= self.delta:
                break
        return points[best]

    def effort(self, extent: FittingExtent) -> FittingEffort:
        """Return the effort of the profile and of the search, an upper limit.

        The search tries four thresholds at each site and two more per further iteration, each with all maps and
        without faults. A map without flips costs nothing, and runs begin at the faulted layer.
        """
        n_areas = 4 + 2 * (self.iterations - 1)
        n_maps = len(self.rates) * self._n_injections(extent.schedule)
        n_searched = extent.n_sites * n_areas * (1 + n_maps) * limited_count(extent.n_calibration, self.search_images)
        return FittingEffort(n_run=extent.n_profiled + n_searched)

    def _n_injections(self, schedule: Schedule) -> int:
        return N_INJECTIONS[schedule] if self.injections is None else self.injections


class ThresholdResilience:
    """Area under accuracy [%] against rank-spaced fault rates, as a function of one site's threshold.

    Each threshold is evaluated once, and all thresholds meet the same faults. n_injections counts the faulty runs
    over the calibration images. A map without flips needs no run, nor does a threshold of 0 that hides every fault of
    the search.
    """

    def __init__(
        self, fitting: Fitting, site: Site, rates: tuple[float, ...], n_maps: int, *, whole_network: bool = False
    ) -> None:
        self.n_injections = 0
        self._fitting = fitting
        self._network: Network = fitting.network.copy()
        self._site = site
        self._areas: dict[float, float] = {}
        owners = None if whole_network else site.feeding
        self._space = fault_space(self._network, fitting.codec, ("weights", "biases"), owners=owners)
        others = {layer for other in self._network.sites if other is not site for layer in other.feeding}
        silenced = site.floor in (0, -math.inf)  # behind a GELU and its like, negative values pass a threshold of 0
        self._hidden_by_zero = silenced and not whole_network and others.isdisjoint(site.feeding)
        self._maps = [[self._draw(rate, trial) for trial in range(n_maps)] for rate in rates]

    @property
    def has_faults(self) -> bool:
        """Return whether faults can hit the memory that the search is for. If not, all thresholds look resilient."""
        return self._space.n_bits > 0

    @cached_property
    def _evaluation(self) -> Evaluation:
        return Evaluation(
            self._network,
            self._space,
            self._fitting.calibration,
            batch=self._fitting.batch,
            staging=Staging(self._fitting.memory_bytes, [fault_map for maps in self._maps for fault_map in maps]),
            replaced_site=self._site,
        )

    def __call__(self, threshold: float) -> float:
        """Return the area, 0 to 20·(number of rates − 1)."""
        if threshold not in self._areas:
            self._areas[threshold] = self._area(threshold)
        return self._areas[threshold]

    def _draw(self, rate: float, trial: int) -> FaultMap:
        return Bernoulli().draw(self._space, ber=rate, seed=self._fitting.seed, trial=trial)

    def _area(self, threshold: float) -> float:
        evaluation = self._evaluation  # must exist before the module is replaced
        self._network.install(self._site, ClipToZero(torch.tensor(threshold)))
        evaluation.rerun_golden()
        means = [np.mean([self._n_correct(fault_map, threshold) for fault_map in maps]) for maps in self._maps]
        return float(np.trapezoid(means, dx=0.2)) * 100 / evaluation.n_images

    def _n_correct(self, fault_map: FaultMap, threshold: float) -> int:
        if (threshold == 0 and self._hidden_by_zero) or not len(fault_map):
            return self._evaluation.golden.n_correct
        self.n_injections += 1
        return self._evaluation.outcome(fault_map).n_correct
