"""A soak: the daemon lives days of a simulated company while everything around it fails, and is then audited.

python -m tests.soak --days 7 --accounts 30 --faults storm
"""
