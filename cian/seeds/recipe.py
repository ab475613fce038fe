"""What decides seeds besides the maps, as OUTPUT/recipe.json says it."""

from cian.base.files import read_json, write_json
from cian.base.locks import RECORDING, locked
from cian.seeds import saliency
from cian.seeds.seeds import SALIENCY_THRESHOLD, substituted_ids


def make_recipe(args, settings, method, ids):
    """What decides the seeds, given the maps: thresholds, overlap, and the ids whose seed is their ground truth."""
    own = SALIENCY_THRESHOLD if args.saliency_maps else saliency.METHODS[method].background
    return {
        "cam_threshold": settings.cam_threshold,
        "saliency_threshold": settings.saliency_threshold if settings.saliency_threshold >= 0 else own,
        "overlap": args.overlap,
        "substitute": args.substitute,
        "substitute_seed": args.seed,
        "substituted": substituted_ids(ids, args.substitute, args.seed),
    }


def remove_other_seeds(output, recipe):
    """Remove all seeds in the folder if its recipe.json says that they were made differently; write recipe.json."""
    path = output / "recipe.json"
    with locked(output, lambda: None, RECORDING):  # another process may do the same at the same moment
        if path.exists() and read_json(path) != recipe:
            for seed in (output / "seeds").glob("*.png"):
                seed.unlink()
        write_json(path, recipe)
