"""The graphs: LangGraph state machines over one row, and the engine that runs them over many.

- `debate/`: (positive ∥ negative) → judge → reflect, over one candidate
- `rejection_sampling/`: retrieve → generate → debate each → pair, over one query
- `refinement/`: a game that sharpens the judge's principles, over rounds
- `intake`, `engine`, `journal`: raw rows in; many rows at once; finished rows on disk
- `faults`, `studio`: what happens when an agent fails; the graphs as LangGraph Studio opens them
"""
