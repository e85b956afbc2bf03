"""The scorecard of models: what each wrote on the same queries, by several measures side by side, with intervals.

card          the record: what stands in scorecard.json, and nothing else
sheets        what goes in: the texts of every model, row by row, and their scores
build         from sheets to the record

rates         shares with intervals; a judge's rate corrected by its certified errors
paired        two models on the same queries: difference, exact test, wins and ties
strengths     Bradley-Terry over all pairs
power         how small a difference the queries can tell
diversity     distinct-n, self-BLEU, Vendi
novelty       what stands in the training files
wording       length, verifiable requests, taboo words
conclusions   the sentences that the intervals allow
"""
