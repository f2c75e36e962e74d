"""Campaign files: YAML with positions → checked values → cells with keys. Imports no torch."""

from faultbench.campaign.cells import Campaign, Cell, Subject
from faultbench.campaign.choices import Choice
from faultbench.campaign.document.problems import CampaignError
from faultbench.campaign.keys import RESULTS_VERSION, canonical_text, digest
from faultbench.campaign.loading import load_campaign, parse_campaign

__all__ = [
    "RESULTS_VERSION",
    "Campaign",
    "CampaignError",
    "Cell",
    "Choice",
    "Subject",
    "canonical_text",
    "digest",
    "load_campaign",
    "parse_campaign",
]
