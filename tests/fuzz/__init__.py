"""Files and command lines of strangers: 100,000 of them by ``make fuzz``, a few hundred by the fast tests.

``targets.py`` says what is fuzzed, ``samples.py`` has whole files to begin with, ``mutate.py`` damages them, ``strategies.py``
makes others from nothing, ``worker.py`` tries them in a process that is limited, and ``campaign.py`` starts these and counts.
"""
