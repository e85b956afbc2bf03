"""Exports: our data in the files of other trainers, with the reward that asks our judge and the line that launches.

    parts         what there is to export: pairs, SFT rows and queries of a run folder or file
    folder        a folder of files, written whole or not at all, with a README that has the exact commands
    verl, openrlhf, llamafactory   what each of them reads
    reward        not imported here but copied into an export: verl's reward function, Python's standard library alone

The formats are those of verl 0.9, OpenRLHF 0.11 and LLaMA-Factory 0.9. None of them is needed to write its files.
"""
