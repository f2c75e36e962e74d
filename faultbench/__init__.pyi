"""What scripts use, for type checkers: importing it for real would import torch."""

from faultbench.campaign import load_campaign as load_campaign
from faultbench.networks.inject import inject as inject
from faultbench.results.analysis.results import read_results as read_results
from faultbench.runner.api import run as run
from faultbench.schemes.protect import protect as protect

__version__: str
