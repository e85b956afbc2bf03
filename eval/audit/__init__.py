"""Auditing datasets: what in them, other than quality, could explain their labels; and what does not belong in them.

    dataset    one file as texts with rows, sides and labels
    finding    what an audit says: severity, count, examples, row numbers
    similarity shingles, verbatim and near copies
    shortcuts  how far position, length and surface style alone predict the label; likely wrong labels
    overlap    copies between files
    defects    what is wrong with single rows, decided by rules
    balance    topics and labels
    report     all of it on some files
    repair     a copy without the rows whose defects are certain

An audit knows nothing of the task: it is handed a function that measures the verifiable requests of a query, and one
that names a query's topic. It never judges quality, and it never calls a model.
"""
