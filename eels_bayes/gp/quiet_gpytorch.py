"""GPyTorch and what it stands on, imported without their deprecation warnings."""

from eels_bayes.quiet_imports import quiet

with quiet():
    import gpytorch
    from gpytorch.distributions import MultitaskMultivariateNormal, MultivariateNormal

__all__ = ["MultitaskMultivariateNormal", "MultivariateNormal", "gpytorch"]
