"""tools/make_seeds.py on unusual images, and on input that cannot be used."""

import numpy as np
import pytest
from PIL import Image
from scripts import tool
from small_pictures import jpeg, odd_image
from small_seeds import CAT, IDS, LABEL, PERSON, make, save_classifier, six_images
from voc_trees import write_annotation

from cian.base.files import write_text
from cian.data.cams import load_cam
from cian.seeds.saliency import read_saliency


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    return save_classifier(tmp_path_factory.mktemp("classifier"))


@pytest.fixture
def data(tmp_path):
    return six_images(tmp_path / "data")


@pytest.mark.parametrize("kind", ["grey", "CMYK", "black", "transparent", "palette", (1, 1), (1, 48), (40, 1), (3, 2)])
def test_odd_images_get_seeds_of_their_size(data, classifier, tmp_path, kind):
    size = odd_image(kind, data / "JPEGImages" / "c.jpg")
    seed = make(data, classifier, tmp_path / "out")["c"]
    assert seed.shape == size and set(np.unique(seed)) <= {0, CAT, PERSON, 255}
    class_ids, maps = load_cam(tmp_path / "out" / "cam" / "c.npz")
    salient = read_saliency(tmp_path / "out" / "saliency" / "c.png", size)
    assert tuple(class_ids) == (CAT, PERSON) and maps.shape[1:] == tuple((side + 7) // 8 for side in size)
    if kind in ("black", (1, 1)):
        assert not salient.any() and set(np.unique(seed)) <= {0, 255}  # nothing stands out: CAM conflicts with background
    assert tool("prepare_data", "check", "--data", data, "--list", "train_aug", "--masks", tmp_path / "out" / "seeds") == 0


def test_16_bit_and_cmyk_give_the_seeds_of_the_same_picture_in_8_bits(data, classifier, tmp_path):
    grey = np.random.RandomState(1).randint(0, 256, (40, 48)).astype(np.uint8)
    Image.fromarray(grey).save(str(data / "JPEGImages" / "a.jpg"), format="PNG")
    Image.fromarray(grey.astype(np.uint16) * 257).save(str(data / "JPEGImages" / "b.jpg"), format="PNG")
    jpeg(data / "JPEGImages" / "c.jpg", np.random.RandomState(2).randint(0, 256, (40, 48, 4)).astype(np.uint8), "CMYK")
    with Image.open(str(data / "JPEGImages" / "c.jpg")) as image:
        image.convert("RGB").save(str(data / "JPEGImages" / "d.jpg"), format="PNG")
    seeds = make(data, classifier, tmp_path / "out")
    assert np.array_equal(seeds["a"], seeds["b"]) and np.array_equal(seeds["c"], seeds["d"])
    assert not np.array_equal(seeds["a"], seeds["c"])


def write_maps(data, names=IDS, size=LABEL.shape, mode="L", value=9):
    (data / "maps").mkdir()
    for name in names:
        Image.new(mode, size[::-1], value if mode == "L" else (9, 99, 199)).save(str(data / "maps" / f"{name}.png"))


MAPS, CSV = ("--saliency-maps", "{data}/maps"), ("--tags", "{data}/tags.csv")
BAD = [
    ((), lambda d: write_annotation(d / "Annotations" / "b.xml", ["unicorn"]), "b.xml: unknown class 'unicorn', expected"),
    ((), lambda d: write_annotation(d / "Annotations" / "b.xml", []), "b.xml: .*image without tags cannot be used"),
    ((), lambda d: (d / "Annotations" / "b.xml").unlink(), "b.xml: no such annotation file"),
    (CSV, lambda d: write_text(d / "tags.csv", "id,cat,unicorn\na,1,0\n"), "tags.csv: unknown class 'unicorn'"),
    (CSV, lambda d: write_text(d / "tags.csv", "id,cat\n" + "".join(f"{i},{i != 'e':d}\n" for i in IDS)), "'e' has no tag"),
    ((), lambda d: (d / "JPEGImages" / "b.jpg").unlink(), "b.jpg: no such image file"),
    ((), lambda d: (d / "JPEGImages" / "b.jpg").write_bytes(b""), "b.jpg: cannot be decoded as an image"),
    (
        (),
        lambda d: (d / "JPEGImages" / "b.jpg").write_bytes((d / "JPEGImages" / "b.jpg").read_bytes()[:700]),
        "b.jpg: cannot be",
    ),
    (MAPS, lambda d: None, "maps: no such folder of saliency maps"),
    (MAPS, lambda d: write_maps(d, IDS[:4]), "no saliency map of 2 of 6 images, the first e"),
    (
        MAPS,
        lambda d: write_maps(d, size=(40, 47)),
        r"a.png: expected the size of its image, \(40, 48\) \(H, W\), found \(40, 47\)",
    ),
    (MAPS, lambda d: write_maps(d, mode="RGB"), "a.png: expected a grey saliency map, found an image of mode RGB"),
    (MAPS, lambda d: write_maps(d, value=1), "maps: saliency maps of only 0 and 1, expected 0..255"),
    (("--saliency", "drfi"), lambda d: None, "saliency: 'drfi', expected one of mbd-warm"),
    (
        (),
        lambda d: write_text(d / "classes.txt", "background\ncat\nperson\n"),
        r"classifier_weight has shape \(20, .*expected \(2,",
    ),
]


@pytest.mark.parametrize("more, change, message", BAD)
def test_bad_input_is_named(data, classifier, tmp_path, more, change, message):
    change(data)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        make(data, classifier, tmp_path / "out", *[word.format(data=data) for word in more])
    assert not (tmp_path / "out" / "seeds").exists()
    if "size" in message:
        assert not (tmp_path / "out" / "cam").exists()  # found before the classifier has run
