"""What a machine can do to a command: ``python -m tests.stress``, see :mod:`tests.stress.__main__`."""
