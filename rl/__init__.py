"""Training: what leaves `graphs` as records enters TRL's trainers through this room.

`formats` turns pairs and judged responses into the rows that TRL reads.
"""
