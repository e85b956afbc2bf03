"""Measuring: judges, datasets and models, always with the number beside it that could explain the result away.

labelled        files of labelled cases and pairs
length_bias     how far length alone decides the pairs of a dataset
audit           what is wrong with a dataset

scorecard       models side by side, with intervals and what may be concluded

certificate     what a judge agrees with and what fools it: the record, its limits, whom it speaks for
certification   how one is made, from
    panel         asking judges, each case once; out of fold for those that learn
    agreement     kappa, AUC and the like            intervals   with what confidence
    baselines     majority, length, letters; length-matched cases
    reading       does it read the request?          attacks, fooling   can it be fooled?
    steadiness    does it say the same again?
"""
