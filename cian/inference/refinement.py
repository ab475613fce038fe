"""From class activation to masks: by a threshold, by a threshold and a dense CRF, or by the random walk of IRN."""

from pathlib import Path

from cian.data.cams import cam_path, load_cam
from cian.data.images import read_image, write_label
from cian.inference.cam_labels import crf_label, label_of_scores, threshold_label
from cian.inference.random_walk import walk_scores

#: method -> the settings (Refinement) that decide its masks
USED = {
    "none": ("cam_threshold",),
    "crf": ("cam_threshold", "crf_iterations"),
    "walk": ("walk_threshold", "walk_radius", "walk_beta", "walk_exponent", "boundary_size", "boundary_flip"),
}
USED["walk+crf"] = USED["walk"] + ("crf_iterations",)


def needs_boundary(method):
    """Does the method need a boundary map? ValueError lists the methods."""
    if method not in USED:
        raise ValueError(f"refine: {method!r}, expected one of {', '.join(USED)}")
    return "walk_radius" in USED[method]


def refine(image, class_ids, maps, method, settings, boundary=None):
    """Mask of an image uint8 (H, W, 3) from its class activation maps (C, h, w) in [0, 1]: class indices, uint8 (H, W).

    method: one of USED; settings: config.Refinement; boundary: ((H-1)//4+1, (W-1)//4+1) in [0, 1] for the walk.
    """
    if not needs_boundary(method):
        return threshold_label(
            image, class_ids, maps, settings.cam_threshold, settings.crf_iterations if method == "crf" else 0
        )
    if boundary is None:
        raise ValueError(f"boundary: missing, expected a boundary map for refine {method!r}")
    s = settings
    scores = walk_scores(maps, boundary, image.shape[:2], s.walk_radius, s.walk_beta, s.walk_exponent)
    label = label_of_scores(scores, class_ids, s.walk_threshold)
    return crf_label(image, label, [0, *class_ids], s.crf_iterations) if method == "walk+crf" else label


def write_refined(dataset, cams, output, method, settings, image_id, boundary):
    """Write output/ID.png, the mask of one image, from cams/ID.npz and the rest as of `refine`; returns its id."""
    class_ids, maps = load_cam(cam_path(cams, image_id))
    image = read_image(dataset.image_path(image_id))
    write_label(Path(output) / f"{image_id}.png", refine(image, class_ids, maps, method, settings, boundary))
    return image_id
