"""Refinement: an adversarial game that sharpens the judge's principles, one round after the other."""

from kindling.graphs.refinement.gate import Gate
from kindling.graphs.refinement.graph import RefinementGraph, Stopped, build, play
from kindling.graphs.refinement.nodes import judge_all
from kindling.graphs.refinement.settings import Material, Settings

__all__ = ["Gate", "Material", "RefinementGraph", "Settings", "Stopped", "build", "judge_all", "play"]
