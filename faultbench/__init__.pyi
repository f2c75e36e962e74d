"""What scripts use, for type checkers: importing it for real would import torch."""

from faultbench.campaign import load_campaign as load_campaign
from faultbench.injecting import inject as inject
from faultbench.protecting import protect as protect
from faultbench.running import run as run
from faultbench.tables import read_results as read_results

__version__: str
