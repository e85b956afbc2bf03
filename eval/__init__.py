"""Measuring: judges, datasets and models, always with the number beside it that could explain the result away.

`length_bias` says how far length alone decides the pairs of a dataset.
"""
