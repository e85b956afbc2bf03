"""The embedded policy, and drawing texts from any policy.

    runtime     torch, loaded where it is needed, with threads that do not spin
    tokenizer   a small byte-level BPE with a ChatML template
    optimizers  Muon and AdamW behind one face, for the base
    base        a model of 2.3 M parameters, trained from scratch in minutes on a CPU
    sampling    texts from a folder with a model and a tokenizer
    generator   a policy as a candidate source

A policy is an ordinary Hugging Face folder: whatever trains, serves or draws from one takes this one too. Only
functions import torch and what is built on it.
"""
