"""Energy windows of the preprocessing and the axes that they make."""

PROFILE_BIN = 2.0  # eV: finer than a core-loss feature, counts in it nearly Gaussian
