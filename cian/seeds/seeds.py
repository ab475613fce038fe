"""Seeds: sparse labels made from CAM and saliency (paper, "Initial Seeds").

The paper generates foreground where the CAM, normalised to [0, 1], reaches 0.3 and background where the saliency is at
most 0.06; "all the remaining unassigned pixels and conflictual assignments are abandoned and marked as ignored".
"""

import numpy as np

from cian.data.cams import cam_path, check_cam, check_unit, load_cam, read_seed, resize_maps
from cian.data.images import IGNORE, read_image, write_label
from cian.seeds.saliency import read_saliency

CAM_THRESHOLD = 0.3
SALIENCY_THRESHOLD = 0.06  # for the paper's saliency (DRFI); cian.seeds.saliency.METHODS holds those of the embedded methods


def make_seed(
    cam_maps, class_ids, saliency, cam_threshold=CAM_THRESHOLD, saliency_threshold=SALIENCY_THRESHOLD, overlap="ignore"
):
    """Label the pixels of one image that CAM or saliency is sure of; uint8 (H, W), 255 where none or several claim it.

    cam_maps: (C, H, W) in [0, 1], the CAM of each of the image's own classes at the image's size; class_ids: (C,) their
    indices. A class claims the pixels where its CAM >= cam_threshold.
    saliency: (H, W) in [0, 1]. Background (0) claims the pixels where saliency <= saliency_threshold.
    overlap: what becomes of a pixel that two or more classes claim: "ignore" (255: the paper's "conflictual assignments
    are abandoned") or "largest" (the class with the larger CAM; an exact tie stays 255). A pixel claimed by both a class
    and the background is 255 in either case.
    ValueError names the argument that has another shape, or values that are NaN or outside [0, 1].
    """
    cam_maps, class_ids, saliency = np.asarray(cam_maps), np.asarray(class_ids), np.asarray(saliency)
    if overlap not in OVERLAPS:
        raise ValueError(f"overlap: expected one of {', '.join(sorted(OVERLAPS))}, found {overlap!r}")
    if class_ids.size == 0:
        class_ids = class_ids.astype(np.int64)
    check_cam("cam_maps", class_ids, cam_maps)
    if saliency.shape != cam_maps.shape[1:]:
        raise ValueError(f"saliency: expected the size of cam_maps, {cam_maps.shape[1:]}, found {saliency.shape}")
    check_unit("saliency", saliency)

    claims = cam_maps >= cam_threshold  # (C, H, W)
    foreground = claims.any(axis=0)
    background = saliency <= saliency_threshold
    seed = np.full(saliency.shape, IGNORE, np.uint8)
    seed[background & ~foreground] = 0
    if len(class_ids):
        chosen, decided = OVERLAPS[overlap](cam_maps, claims)
        decided &= foreground & ~background
        seed[decided] = class_ids.astype(np.uint8)[chosen[decided]]
    return seed


def _claimed_once(cam_maps, claims):
    return claims.argmax(axis=0), claims.sum(axis=0) == 1


def _claimed_most(cam_maps, claims):
    return cam_maps.argmax(axis=0), (cam_maps == cam_maps.max(axis=0)).sum(axis=0) == 1


OVERLAPS = {"ignore": _claimed_once, "largest": _claimed_most}  # (C, H, W) twice -> index of the class, is it decided


def substituted_ids(ids, share, seed=0):
    """The ids whose seeds are replaced by the ground truth (Table 4): round(share * len(ids)) of them, drawn by `seed`.

    They come in the order of `ids`. The draw depends on the set of ids, not on their order, and is nested: for one seed
    those of a smaller share are among those of a larger one. ValueError when share is outside [0, 1] or an id comes twice.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"share: expected a fraction in [0, 1], found {share}")
    ids = list(ids)
    if len(set(ids)) != len(ids):
        raise ValueError(f"ids: expected each id once, found {len(ids) - len(set(ids))} repeated")
    order = np.random.RandomState(seed).permutation(len(ids))
    names = sorted(ids)
    drawn = {names[index] for index in order[: round(share * len(ids))]}
    return [name for name in ids if name in drawn]


def write_seed(dataset, output, cams, recipe, item):
    """Write the seed of one image from its CAM file in folder `cams` and its saliency file, or its ground truth.

    recipe: thresholds and overlap, as in recipe.json; item: (id, path of its saliency map, whether the truth takes its place).
    """
    image_id, map_path, substituted = item
    size = read_image(dataset.image_path(image_id)).shape[:2]
    if substituted:
        seed = read_seed(dataset.mask_path(image_id), size, len(dataset.classes))
    else:
        class_ids, maps = load_cam(cam_path(cams, image_id))
        salient = read_saliency(map_path, size)
        thresholds = recipe["cam_threshold"], recipe["saliency_threshold"]
        seed = make_seed(resize_maps(maps, size), class_ids, salient, *thresholds, recipe["overlap"])
    write_label(output / "seeds" / f"{image_id}.png", seed)
