"""Training on a GPU, measured by one command: `python -m bench.gpu --help`, and docs/gpu.md for what the figures mean.

    shapes      the sizes of model, and what they take
    plan        which measurements there are, how long each should take, what to run
    isolation   each measurement in a process of its own, with a time limit and a watch on the device's memory
    measure     that process; it imports torch, the command itself never does
    models      models with random weights, made here: nothing is downloaded
    offline     vLLM alone
    steps       GRPO steps, split into rollout, reward and update
    served      a vLLM server beside a trainer
    curve       the embedded policy's learning curve
    results     the JSON file and the tables

A measurement that fails becomes a row that says why, and the others go on. The JSON file is written after each, and a
later run adds to it: the whole can be split into commands of a few minutes.
"""
