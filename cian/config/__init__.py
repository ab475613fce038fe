"""Settings as frozen dataclasses with presets; the command lines of the tools are made from them.

`voc12` is the published configuration and the default. `animals` (real VOC images of five animals and persons) and `scenes`
(generated images) are for machines without a GPU; how their values were chosen:
experiments/results/NOTES.md, cian/FIDELITY.md (Test sizes, C14).
"""

from cian.config.arguments import add_arguments, from_arguments, hide
from cian.config.inference import LABEL_FITS, Inference, Seeding
from cian.config.irn import BoundaryTraining, Refinement
from cian.config.settings import PRESETS
from cian.config.training import Classifier, Matching, Segmentation
from cian.config.weights import WEIGHTS

__all__ = [
    "LABEL_FITS",
    "PRESETS",
    "WEIGHTS",
    "BoundaryTraining",
    "Classifier",
    "Inference",
    "Matching",
    "Refinement",
    "Seeding",
    "Segmentation",
    "add_arguments",
    "from_arguments",
    "hide",
]
