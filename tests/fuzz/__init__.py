"""The fuzz driver: seeded mutants of the permanent golden files, decoded in a watched process.

    python -m tests.fuzz --mutants 100000 --seed 1 --keep finds

A find belongs into `tests/attacks`, whose tests decode every file there.
"""
