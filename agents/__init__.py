"""The agents: a file a role with its contract and its LLM implementation; `embedded/` answers the contracts offline.

- `retriever`, `generator`, `critic`, `judge`, `reflector`: the roles; `recorded` plays a generator from a file
- `forger`, `explainer`, `optimizer`: the players of the refinement game, beside the judge
- `cast`, `players`: who works together on a row, and who plays a game
- `requests`: verifiable requests, measured in code
- `models`, `ledger`, `budget`, `limiter`, `structured`: chat models, and the discipline of paid calls
- `calls`, `transport`, `dialect`, `stats`: what they are made of
- `embedded/`, `lexical/`: rules and lexicons; a judge learned from pairs
"""
