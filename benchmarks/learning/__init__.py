"""What active learning is measured by: one experiment a module.

Each has a model to begin with, ``fit(index)``; one seed of it, ``run(seed, base)``, plain values
that go into a JSON file; a table, ``report(runs)``; and all but `novel`, whose table says it all,
median curves to draw: ``AXES`` and ``lines(runs)``.
"""
