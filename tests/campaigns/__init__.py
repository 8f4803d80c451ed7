"""Campaigns against the package's promises: long, seeded, run by `make campaign`, and no part of the test suite.

Each is a module that can be run alone, here two of them for a minute:

    PYTHONPATH=tests python -m campaigns.orientation --seed 0 --count 2
    PYTHONPATH=tests python -m campaigns.fuzz --seed 0 --count 300

It prints what it counted, and what went wrong with the number that makes it again; exit code 1 if anything did.
`docs/explanation/reliability.md` holds the last answers.
"""
