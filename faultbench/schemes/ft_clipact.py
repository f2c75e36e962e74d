"""FT-ClipAct: clipping thresholds searched by injecting faults."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Annotated, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from faultbench.memory.fault_map import FaultMap
from faultbench.memory.faults.bernoulli import Bernoulli
from faultbench.networks.network import Network, Site
from faultbench.plugins.registry import scheme
from faultbench.schemes.bounded_activations import ClipToZero, Granularity
from faultbench.schemes.fitting.effort import Effort, Extent, first
from faultbench.schemes.fitting.profile import profiled_bounds
from faultbench.schemes.scheme import Fitted, Fitting, Schedule, granularities
from faultbench.system.progress.reporter import Task
from faultbench.trials.evaluation import Evaluation, fault_space
from faultbench.trials.staging.golden_run import Staging

N_INJECTIONS = {"paper": 20, "fast": 4}
"""Fault maps at each rate when the option is left open."""


@scheme("ft_clipact")
@dataclass(frozen=True)
class FtClipAct:
    """Clip to zero above thresholds searched for the best accuracy under injected faults.

    Hoang, Hanif, Shafique: FT-ClipAct, DATE 2020 (arXiv 1912.00941), interval search over the area under the
    accuracy curve. Faults hit the layers that feed the site, or the whole network with `search_scope: network`;
    the other sites are unbounded. `search_images` limits the held-out training images that the search runs.
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

    def granularity_at(self, site: Site, *, is_last: bool) -> Granularity:  # noqa: ARG002 - the protocol's
        """One threshold a layer."""
        return "layer"

    def activation(self, bounds: Tensor) -> nn.Module:
        """x within 0..threshold, else 0."""
        return ClipToZero(bounds, nan_policy=self.nan_policy)

    def fit(self, fitting: Fitting) -> Fitted:
        """Search the threshold of each site in forward order, starting from its profiled maximum."""
        maxima = profiled_bounds(fitting, granularities(fitting.network, self))
        found = fitting.checkpoint.load()
        with fitting.reporter.task(fitting.title, len(maxima), unit="sites") as task:
            task.advance(len(found.bounds))
            for site in fitting.network.sites[len(found.bounds) :]:
                found = self._with_site(found, site, float(maxima[site.name]), fitting, task)
                fitting.checkpoint.save(found)
                note = f"{site.name}: {found.bounds[site.name]:.3f}, {found.n_injections} injections so far"
                task.advance(note=note)
        return found

    def _with_site(self, found: Fitted, site: Site, highest: float, fitting: Fitting, task: Task) -> Fitted:
        searched = replace(fitting, calibration=fitting.calibration.first(self.search_images))
        resilience = Resilience(
            searched,
            site,
            self.rates,
            self._n_injections(fitting.schedule),
            whole_network=self.search_scope == "network",
        )

        def told(threshold: float) -> float:
            area = resilience(threshold)
            n_injections = found.n_injections + resilience.n_injections
            task.advance(0, note=f"{site.name}: {threshold:.3f}, area {area:.1f}, {n_injections} injections so far")
            return area

        threshold = torch.tensor(self.search(highest, told), dtype=torch.float32)
        n_injections = found.n_injections + resilience.n_injections
        return Fitted({**found.bounds, site.name: threshold}, n_injections=n_injections)

    def search(self, highest: float, auc: Callable[[float], float]) -> float:
        """The threshold in 0..highest that maximises auc, by narrowing an interval of four points."""
        low, high = 0.0, highest
        for iteration in range(1, self.iterations + 1):
            # linspace gives both ends back exactly, so that they are known already.
            points: list[float] = np.linspace(low, high, 4).tolist()
            areas = [auc(point) for point in points]
            best = int(np.argmax(areas))
            low, high = points[max(best - 1, 0)], points[min(best + 1, 3)]
            if iteration >= self.min_iterations and np.abs(np.diff(areas)).max() <= self.delta:
                break
        return points[best]

    def effort(self, extent: Extent) -> Effort:
        """The profile, and at each site four thresholds and two more an iteration, with all maps and without faults.

        At most: a map without flips costs nothing, and runs begin at the faulted layer.
        """
        n_areas = 4 + 2 * (self.iterations - 1)
        n_maps = len(self.rates) * self._n_injections(extent.schedule)
        n_searched = extent.n_sites * n_areas * (1 + n_maps) * first(extent.n_calibration, self.search_images)
        return Effort(n_run=extent.n_profiled + n_searched)

    def _n_injections(self, schedule: Schedule) -> int:
        return N_INJECTIONS[schedule] if self.injections is None else self.injections


class Resilience:
    """The area under accuracy [%] against rank-spaced fault rates, as a function of one site's threshold.

    Equal thresholds are evaluated once, and all thresholds meet the same faults. n_injections counts the faulty
    runs over the calibration images; a map without flips costs none, and neither does a threshold of 0 where it
    hides every fault that is searched with.
    """

    def __init__(
        self, fitting: Fitting, site: Site, rates: tuple[float, ...], n_maps: int, *, whole_network: bool = False
    ) -> None:
        self.n_injections = 0
        self._fitting = fitting
        self._network: Network = fitting.network.copy()
        self._site = site
        self._known: dict[float, float] = {}
        owners = None if whole_network else site.feeding
        self._space = fault_space(self._network, fitting.codec, ("weights", "biases"), owners=owners)
        others = {layer for other in self._network.sites if other is not site for layer in other.feeding}
        silenced = site.floor in (0, -math.inf)  # behind a GELU and its like, negative values pass a threshold of 0
        self._hidden_by_zero = silenced and not whole_network and others.isdisjoint(site.feeding)
        self._maps = [[self._draw(rate, trial) for trial in range(n_maps)] for rate in rates]
        sample = [fault_map for maps in self._maps for fault_map in maps]
        self._evaluation = Evaluation(
            self._network,
            self._space,
            fitting.calibration,
            batch=fitting.batch,
            staging=Staging(fitting.memory_bytes, sample),
            changing=site,
        )

    def __call__(self, threshold: float) -> float:
        """The area, 0 to 20·(number of rates − 1)."""
        if threshold not in self._known:
            self._known[threshold] = self._area(threshold)
        return self._known[threshold]

    def _draw(self, rate: float, trial: int) -> FaultMap:
        return Bernoulli().draw(self._space, ber=rate, seed=self._fitting.seed, trial=trial)

    def _area(self, threshold: float) -> float:
        self._network.install(self._site, ClipToZero(torch.tensor(threshold)))
        self._evaluation.site_changed()
        means = [np.mean([self._n_correct(fault_map, threshold) for fault_map in maps]) for maps in self._maps]
        return float(np.trapezoid(means, dx=0.2)) * 100 / self._evaluation.n_images

    def _n_correct(self, fault_map: FaultMap, threshold: float) -> int:
        if (threshold == 0 and self._hidden_by_zero) or not len(fault_map):
            return self._evaluation.golden.n_correct
        self.n_injections += 1
        return self._evaluation.outcome(fault_map).n_correct
