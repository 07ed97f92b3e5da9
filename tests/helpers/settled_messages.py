"""Belief propagation as it is written down: all pixels at once, until nothing changes."""

import torch

from eels_bayes.field.messages import Kernel, normalised, nothing_said, passed, sides_of


def said_by_others(local, prior, graph, beside, in_time=None):
    """What all others and a prior (K, n) say of each pixel; by what each says of itself (K, n)."""
    sides = sides_of(graph)
    messages = nothing_said(len(local), sides)
    for _ in range(100):
        sent = passed(messages, local, sides, Kernel(beside, in_time))
        messages = torch.lerp(messages, sent, 0.5)
    return normalised(prior * messages.prod(0))
