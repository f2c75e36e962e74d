"""Tests of torch's named streams: the parts determine a stream, and the seeds of recorded results do not change."""

import torch

from faultbench.system.torch_streams import torch_generator


def test_the_same_parts_give_the_same_stream_and_others_another() -> None:
    a, b, c = (torch_generator(*parts) for parts in ((5, "profile"), ("5", "profile"), (5, "profil", "e")))
    drawn = [torch.randperm(1000, generator=stream) for stream in (a, b, c)]
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


def test_the_streams_are_those_that_recorded_results_were_made_with() -> None:
    # If this fails, trained weights and fitted bounds change, and earlier results cannot be reproduced.
    assert torch_generator(2024, "profile").initial_seed() == 8487381853615772633
