"""What `wrong_input.py` brings: counts, libraries and settings that are not as they should be.

Each module has ``CASES``: names, and functions of the right `Sample` that give the `Brought`.
"""
