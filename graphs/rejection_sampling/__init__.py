"""Rejection sampling: retrieve → generate n → debate each → pair, over one query."""

from kindling.graphs.rejection_sampling.graph import SamplingGraph, build, sampler
from kindling.graphs.rejection_sampling.settings import Settings

__all__ = ["SamplingGraph", "Settings", "build", "sampler"]
