"""Fingerprints from structures: relaxed, simulated site by site, averaged over their ensemble.

`fingerprints` takes the structures of each class (`eels_bayes.structures` makes them) and an
engine, which simulates the spectrum of one absorbing atom; it gives a library and a table of sites.
Results are kept in a folder, one file a site, so that work which was interrupted goes on where it
stopped. Needs the extra ``structures``; ``feff`` brings FEFF10, ``relax`` brings CHGNet;
GPAW and FDMNES have installations of their own.
"""

from typing import TYPE_CHECKING

from eels_bayes.lazy import lazy_names

if TYPE_CHECKING:
    from eels_bayes.ab_initio.costs import simulation_cost
    from eels_bayes.ab_initio.engine import Engine, EngineFailed
    from eels_bayes.ab_initio.engine_differences import together
    from eels_bayes.ab_initio.fdmnes_engine import Fdmnes
    from eels_bayes.ab_initio.feff10_engine import Feff10
    from eels_bayes.ab_initio.files_engine import Files
    from eels_bayes.ab_initio.gpaw_engine import Gpaw
    from eels_bayes.ab_initio.relaxation import Relaxation
    from eels_bayes.ab_initio.simulated_fingerprints import SimulatedFingerprints, Site
    from eels_bayes.ab_initio.simulation import fingerprints
    from eels_bayes.ab_initio.site_runs import SitesFailed

# Public name -> the module that defines it, and its name there.
_HOME = {
    "Engine": "engine:Engine",
    "EngineFailed": "engine:EngineFailed",
    "Fdmnes": "fdmnes_engine:Fdmnes",
    "Feff10": "feff10_engine:Feff10",
    "Files": "files_engine:Files",
    "Gpaw": "gpaw_engine:Gpaw",
    "Relaxation": "relaxation:Relaxation",
    "SimulatedFingerprints": "simulated_fingerprints:SimulatedFingerprints",
    "Site": "simulated_fingerprints:Site",
    "SitesFailed": "site_runs:SitesFailed",
    "fingerprints": "simulation:fingerprints",
    "simulation_cost": "costs:simulation_cost",
    "together": "engine_differences:together",
}

__all__ = [
    "Engine",
    "EngineFailed",
    "Fdmnes",
    "Feff10",
    "Files",
    "Gpaw",
    "Relaxation",
    "SimulatedFingerprints",
    "Site",
    "SitesFailed",
    "fingerprints",
    "simulation_cost",
    "together",
]

__getattr__, __dir__ = lazy_names(__name__, _HOME)
