"""Chaos: what delivery promises, put to the test fault by fault, one row a proof with its figure and its bar.

python -m tests.chaos --only kills,storm --size small
"""
