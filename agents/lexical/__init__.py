"""A judge learned from pairs or labelled cases alone: n-grams, no task words, no network, seconds to fit.

A text is good when three questions, each answered by a small model of its own, are all answered yes:

    wording   is it worded like the good texts rather than the bad ones?       `wording`, learned from all cases
    request   is it about this request rather than about others?              `request`, learned from the good cases
    ending    does it end where texts end, or is it cut off?                  `ending`, learned from the good cases

The score is the product of the three probabilities. They are calibrated on cases that the fitted parts had not seen,
with all cases of one request held out together (`training`). Limits hold the judge inside what it learned from: a text
of unknown n-grams, one with a long foreign stretch, one that repeats itself, or one longer than nearly all good texts
is not good, whatever it scores.

**Length is taken out**: n-gram frequencies have unit norm, so that their number does not add up, and the cases are
weighted so that at every length good and bad weigh the same. **The query is taken in**: the second model is a product
of a reading of the request and a reading of the text, learned by telling each text's own request from others.

Nothing here knows a task or a language: Chinese characters and words of other scripts alike are units, and n-grams run
over units. Left out on purpose: meaning that no n-gram shows, such as a false statement or a joke in poor taste.

    ngrams → wording, request, ending → parts → model ← storage
                                          training → model ← judge
"""
