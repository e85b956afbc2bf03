"""The order in which agents work: state machines over one row, and the engine that runs them over many."""
