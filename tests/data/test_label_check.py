"""What trainings check of images and labels before they begin: sizes, values, and whether the labels show anything."""

import logging

import numpy as np
import pytest
from PIL import Image
from voc_trees import write_dataset

from cian.data.check import check_images, check_labels
from cian.data.images import write_label
from cian.data.voc import open_dataset

IDS = ["a", "b", "c"]
LABEL = np.array([[0, 8, 8, 255], [0, 15, 0, 255]], np.uint8)  # cat, person


@pytest.fixture
def dataset(tmp_path):
    return open_dataset(write_dataset(tmp_path / "data", {"all": dict.fromkeys(IDS, LABEL)}))


def labels(dataset, change):
    """A folder of labels: change(the true one) of every image."""
    folder = dataset.root / "labels"
    for name in IDS:
        write_label(folder / f"{name}.png", change(LABEL))
    return folder


def test_sound_labels_pass_without_a_word(dataset, caplog):
    check_labels(dataset, IDS, labels(dataset, lambda label: label), dataset.read_tags(IDS), 1)
    write_label(dataset.root / "labels" / "a.png", np.zeros_like(LABEL))  # one without any class
    check_labels(dataset, IDS, dataset.root / "labels", dataset.read_tags(IDS), 1)
    check_images(dataset, IDS)
    assert not caplog.records


@pytest.mark.parametrize("change, message", [
    (lambda label: np.where(label > 0, 255, 0), "labels: no label of the list shows any class, only background .* 1..20"),
    (lambda label: label * 0 + 255, "labels: no label of the list has a pixel that counts, all are 255"),
    (lambda label: label[:, :3], r"a.png: expected the size of its image, \(2, 4\) .* \(2 more of 3 are wrong\)"),
    (lambda label: np.where(label == 15, 21, label), r"a.png: expected class indices 0..20 and 255, found \[21\]"),
])
def test_labels_that_nothing_can_be_learned_from_are_refused(dataset, change, message):
    with pytest.raises(ValueError, match=message):
        check_labels(dataset, IDS, labels(dataset, change), workers=1)


def test_labels_of_0_and_1_beside_other_tags_are_told(dataset, caplog):
    folder = labels(dataset, lambda label: (label % 255 > 0).astype(np.uint8))
    with caplog.at_level(logging.WARNING):
        check_labels(dataset, IDS, folder, dataset.read_tags(IDS), 1)
    assert "labels: 3 of 3 labels show none of their image's classes, such as a: aeroplane, its tags are cat, " in caplog.text


def test_images_that_cannot_be_read_are_counted(dataset):
    (dataset.root / "JPEGImages" / "b.jpg").write_bytes(b"no image")
    with pytest.raises(ValueError, match="b.jpg: cannot be decoded as an image .*[^)]$|b.jpg: cannot be decoded"):
        check_images(dataset, IDS)
    (dataset.root / "JPEGImages" / "a.jpg").unlink()
    Image.fromarray(np.zeros((2, 4), np.uint8)).save(dataset.root / "JPEGImages" / "a.gif")
    with pytest.raises(FileNotFoundError, match=r"a.jpg: no such image file; there is a.gif \(1 more of 3 are wrong\)"):
        check_images(dataset, IDS)
