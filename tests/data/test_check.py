"""Verification of data sets: every kind of fault is found, all of them are listed, sound data has none."""
import numpy as np
import pytest
from voc_trees import write_annotation, write_dataset, write_image

from cian.base.files import write_text
from cian.data.check import check_dataset
from cian.data.images import write_label
from cian.data.voc import open_dataset

LABEL = np.array([[0, 8, 8, 255], [255, 15, 0, 8]])  # cat, person
IDS = ["a", "b", "c", "d"]


@pytest.fixture
def root(tmp_path):
    return write_dataset(tmp_path / "data", {"val": dict.fromkeys(IDS, LABEL)})


@pytest.mark.parametrize("workers", [1, 2])
def test_sound_data_has_no_faults(root, workers):
    done = []
    assert check_dataset(open_dataset(root), IDS, workers=workers, progress=done.append) == ([], [])
    assert sum(done) == 4


def test_all_faults_are_listed(root):
    data = open_dataset(root)
    data.image_path("a").write_bytes(data.image_path("a").read_bytes()[:200])  # header only
    write_label(data.mask_path("b"), np.array([[0, 21, 254]]))
    data.mask_path("c").unlink()
    write_annotation(data.annotation_path("c"), ["unicorn"])
    data.annotation_path("d").unlink()
    faults, notes = check_dataset(data, IDS + ["e"], workers=1)
    expected = ["c.xml: unknown class 'unicorn'", "d.xml: no such annotation file", "e.xml: no such annotation file",
                "a.jpg: cannot be decoded", "b.png: 3x1 pixels, expected the image's 4x2",
                "b.png: expected values 0..20 or 255, found [21, 254]", "c.png: no such image file",
                "e.jpg: no such image file", "e.png: no such image file"]
    assert len(faults) == len(expected)
    for fault, part in zip(faults, expected):
        assert part in fault
    assert len(notes) == 1 and notes[0].endswith("b.png: tags cat, person; mask none")


def test_masks_that_are_no_index_images(root):
    data = open_dataset(root)
    image = root / "rgb.png"
    write_image(image, *LABEL.shape)
    image.replace(data.mask_path("a"))
    data.mask_path("b").write_bytes(b"")
    faults, _ = check_dataset(data, IDS, workers=1)
    assert len(faults) == 2
    assert "a.png: label images are palette (P) or grey (L)" in faults[0]
    assert "b.png: cannot be decoded" in faults[1]


def test_tags_other_than_the_masks_classes_are_a_note(root):
    data = open_dataset(root)
    write_annotation(data.annotation_path("b"), ["cat", ("person", 1), "dog"])
    faults, notes = check_dataset(data, IDS, workers=1)
    assert faults == []
    assert len(notes) == 1 and notes[0].endswith("b.png: tags cat, dog; mask cat, person")


def test_tags_of_a_table(root):
    write_text(root / "tags.csv", "id,cat,person\na,1,1\nb,1,1\nc,0,0\n")
    faults, notes = check_dataset(open_dataset(root), IDS, root / "tags.csv", workers=1)
    assert ["image 'c' has no tag" in faults[0], "id 'd' is not among its 3 images" in faults[1]] == [True, True]
    assert (len(faults), notes) == (2, [])
    write_text(root / "tags.csv", "id,cow,unicorn\n")
    faults, _ = check_dataset(open_dataset(root), IDS, root / "tags.csv", workers=1)
    assert len(faults) == 1 and "unknown class 'unicorn'" in faults[0]


def test_masks_of_another_folder_or_none(root):
    data = open_dataset(root)
    faults, _ = check_dataset(data, IDS, masks=root / "seeds", workers=1)
    assert faults == [f"{root / 'seeds'}: no such folder of masks"]
    for name in IDS[:3]:
        write_label(root / "seeds" / f"{name}.png", LABEL)
    faults, _ = check_dataset(data, IDS, masks=root / "seeds", workers=1)
    assert len(faults) == 1 and "seeds/d.png: no such image file" in faults[0]
    data.mask_path("a").unlink()
    assert check_dataset(data, IDS, masks=None, workers=1) == ([], [])


def test_classes_of_the_data_set_are_the_legal_values(root):
    write_text(root / "classes.txt", "background\ncat\nperson\n")
    faults, _ = check_dataset(open_dataset(root), IDS[:1], workers=1)
    assert len(faults) == 1 and "expected values 0..2 or 255, found [8, 15]" in faults[0]
