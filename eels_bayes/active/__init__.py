"""Active learning: which pixel to label or to measure again, and which structure to simulate."""

from typing import TYPE_CHECKING

from eels_bayes.lazy import lazy_names

if TYPE_CHECKING:
    from eels_bayes.active.acquisition import (
        bald,
        batch_bald,
        best,
        entropy,
        epig,
        margin,
        random,
    )
    from eels_bayes.active.frame_gain import encoder_gain
    from eels_bayes.active.journal import Query
    from eels_bayes.active.loop import ActiveLoop
    from eels_bayes.active.structure_choice import (
        Candidate,
        Simulated,
        StructureSearch,
        simulate_structures,
        simulator,
        structure_gain,
    )

# Public name -> the module that defines it, and its name there.
_HOME = {
    "ActiveLoop": "loop:ActiveLoop",
    "Candidate": "structure_choice:Candidate",
    "Query": "journal:Query",
    "Simulated": "structure_choice:Simulated",
    "StructureSearch": "structure_choice:StructureSearch",
    "bald": "acquisition:bald",
    "batch_bald": "acquisition:batch_bald",
    "best": "acquisition:best",
    "encoder_gain": "frame_gain:encoder_gain",
    "entropy": "acquisition:entropy",
    "epig": "acquisition:epig",
    "margin": "acquisition:margin",
    "random": "acquisition:random",
    "simulate_structures": "structure_choice:simulate_structures",
    "simulator": "structure_choice:simulator",
    "structure_gain": "structure_choice:structure_gain",
}

__all__ = [
    "ActiveLoop",
    "Candidate",
    "Query",
    "Simulated",
    "StructureSearch",
    "bald",
    "batch_bald",
    "best",
    "encoder_gain",
    "entropy",
    "epig",
    "margin",
    "random",
    "simulate_structures",
    "simulator",
    "structure_gain",
]

__getattr__, __dir__ = lazy_names(__name__, _HOME)
