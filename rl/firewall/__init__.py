"""The firewall of a reinforcement run: it watches what a reward cannot see of itself, and stops the run by name.

A policy that is rewarded finds what the reward overlooks. The signs of it are known before the benchmark falls: texts
grow, phrases repeat, a judge says good to what is known to be bad, and another judge disagrees more and more. So:

    canaries.py   texts whose verdict is known, judged with every batch by the same judge, never trained on
    shadow.py     a judge of another kind on the same completions, now and then
    report.py     what one step looked like, as plain data
    settings.py   the limits, each with its reason
    measures.py   numbers of many steps with their noise: a limit is passed for certain, or not
    firewall.py   the window over the last steps, the limits, the breach
    exploit.py    what the new high scores have that the old ones had not
    callback.py   the same as a callback for TRL's trainer: saves a checkpoint, stops, writes breach.json

All but the callback is pure: a `StepReport` goes in, a `Breach` or nothing comes out, and the same reports give the
same answer in every process of a distributed run.
"""
