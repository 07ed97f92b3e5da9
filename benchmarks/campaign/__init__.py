"""What `robustness.py` does: one part a module.

Each has ``SIZES``, what is asked of it and how often, and ``run(sizes, seed)``, which returns how
often each verdict was found for each thing that was tried. A verdict in capitals is a defect.
"""
