"""A data set of images made of coloured patches, which the affinities tell apart."""

import cv2
import numpy as np
from voc_trees import write_dataset, write_image


def patches(root, ids, class_id):
    """A data set in `root` of images 40 x 48, all with the same object; list train_aug of all ids, val of the first two."""
    label = np.zeros((40, 48), np.uint8)
    label[10:, 20:] = class_id
    root = write_dataset(root, {"train_aug": dict.fromkeys(ids, label)})
    for number, name in enumerate(ids):
        path = root / "JPEGImages" / f"{name}.jpg"
        write_image(path, 5, 6, seed=number)
        cv2.imwrite(str(path), cv2.resize(cv2.imread(str(path)), (48, 40), interpolation=cv2.INTER_NEAREST))
    write_list(root, "val", ids[:2])
    return root


def write_list(root, name, ids):
    """Write a list of ids."""
    (root / "ImageSets" / "Segmentation" / f"{name}.txt").write_text("".join(f"{i}\n" for i in ids))
