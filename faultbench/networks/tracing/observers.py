"""Observers of torch.ao.quantization, which follow the values that pass through a prepared network."""

import sys

from torch import nn


def switch_observers_off(model: nn.Module) -> None:
    """Remove the observers of torch.ao and make its fake quantisers keep their scales, in place.

    A deployed network has no observers and reads nothing that they keep: a network that is prepared for quantisation
    but not converted computes the same as its float network. Observers follow every batch, in eval mode too, with code
    that torch.fx cannot record, and with fake quantisers they make an image's logits depend on earlier images.
    """
    fakes, observers = (sys.modules.get(f"torch.ao.quantization.{name}") for name in ("fake_quantize", "observer"))
    if fakes is None or observers is None:
        return  # nobody has built one
    for module in [*model.modules()]:
        if isinstance(module, fakes.FakeQuantizeBase):
            module.disable_observer()  # its own observer holds what scales are computed from
            continue
        for name, child in [*module.named_children()]:
            if isinstance(child, observers.ObserverBase):
                setattr(module, name, nn.Identity())
