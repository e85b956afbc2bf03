"""Training over TRL's own trainers: SFT, reward model, GRPO.

    settings        what a stage is trained with: frozen, validated, written to run.json as it was resolved
    data            files and run folders as the rows that a stage reads
    plan            what it would take: parameters, memory, steps, time; needs no torch
    arguments       settings as the arguments of TRL's configurations
    sft, reward_model, grpo   one trainer each, made and run
    scoring         what a reward model says of a text: a raw score
    calibration     from scores to the probability of good
    batching, reward_judge    a calibrated reward model as a judge, asked about many texts at once
    vllm            colocated or served rollouts, and the proof that new weights reach them
    checkpoints     which checkpoint is whole; how a run stops and goes on
    card            the model card

Nothing here reads a command line or chooses a judge; torch and trl are imported inside functions, so that a plan can be
made where they are missing.
"""
