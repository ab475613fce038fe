"""Seeds: hand-computed labels, CAM files, the nested substitution of Table 4."""

import numpy as np
import pytest

from cian.data import cams
from cian.data.images import write_label
from cian.seeds import seeds

CAT, DOG = 8, 12
CAM = np.array([[[0.9, 0.3, 0.29, 0.0, 0.5, 0.4]], [[0.0, 0.1, 0.00, 0.0, 0.7, 0.4]]])  # (2, 1, 6)
SALIENCY = np.array([[0.8, 0.06, 0.06, 0.061, 0.9, 0.9]])  # (1, 6)


def test_seed_of_each_kind_of_pixel():
    # cat | cat and background | background | nobody | cat and dog | cat and dog, equal
    np.testing.assert_array_equal(seeds.make_seed(CAM, [CAT, DOG], SALIENCY), [[CAT, 255, 0, 255, 255, 255]])


def test_overlap_goes_to_the_larger_cam():
    seed = seeds.make_seed(CAM, [CAT, DOG], SALIENCY, overlap="largest")
    np.testing.assert_array_equal(seed, [[CAT, 255, 0, 255, DOG, 255]])
    assert seed.dtype == np.uint8


def test_seed_against_slow_oracle():
    random = np.random.RandomState(0)
    for overlap in ("ignore", "largest"):
        maps, saliency = random.randint(0, 11, (3, 7, 5)) / 10, random.randint(0, 11, (7, 5)) / 10
        expected = np.full((7, 5), 255)
        for row in range(7):
            for column in range(5):
                cams = maps[:, row, column]
                claims = [(cam, class_id) for cam, class_id in zip(cams, (2, 7, 9)) if cam >= 0.6]
                best = max(claims, default=None)
                if saliency[row, column] <= 0.4:
                    if not claims:
                        expected[row, column] = 0
                elif len(claims) == 1 or (overlap == "largest" and claims and (cams == best[0]).sum() == 1):
                    expected[row, column] = best[1]
        found = seeds.make_seed(maps, np.array([2, 7, 9]), saliency, 0.6, 0.4, overlap)
        np.testing.assert_array_equal(found, expected)


def test_image_without_tags_has_background_only():
    seed = seeds.make_seed(np.zeros((0, 1, 6)), [], SALIENCY)
    np.testing.assert_array_equal(seed, [[255, 0, 0, 255, 255, 255]])


@pytest.mark.parametrize(
    "change, message",
    [
        ({"saliency": np.zeros((2, 6))}, r"saliency: expected the size of cam_maps, \(1, 6\), found \(2, 6\)"),
        ({"saliency": np.full((1, 6), np.nan)}, r"saliency: expected values in \[0, 1\], found nan"),
        ({"cam_maps": CAM + 1}, r"cam_maps: expected values in \[0, 1\], found 1.0..1.9"),
        ({"class_ids": [CAT]}, r"cam_maps: expected \(C,\) class ids"),
        ({"class_ids": [CAT, CAT]}, "each once"),
        ({"class_ids": [0, CAT]}, r"class ids 1..254"),
        ({"class_ids": [1.5, 2.5]}, "integer class ids"),
        ({"overlap": "both"}, "expected one of ignore, largest, found 'both'"),
    ],
)
def test_bad_arguments_are_named(change, message):
    arguments = dict({"cam_maps": CAM, "class_ids": [CAT, DOG], "saliency": SALIENCY}, **change)
    with pytest.raises(ValueError, match=message):
        seeds.make_seed(**arguments)


def test_cam_file_round_trip(tmp_path):
    path = tmp_path / "folder" / "2007_000001.npz"
    cams.save_cam(path, [CAT, DOG], CAM.astype(np.float32))
    class_ids, maps = cams.load_cam(path)
    assert class_ids.dtype == np.int64 and maps.dtype == np.float16
    np.testing.assert_array_equal(class_ids, [CAT, DOG])
    np.testing.assert_array_equal(maps, CAM.astype(np.float16))
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    with np.load(str(path), allow_pickle=False) as arrays:
        assert set(arrays.files) == {"classes", "maps"}


def test_cam_of_an_image_without_tags(tmp_path):
    cams.save_cam(tmp_path / "a.npz", [], np.zeros((0, 3, 4)))
    class_ids, maps = cams.load_cam(tmp_path / "a.npz")
    assert class_ids.shape == (0,) and maps.shape == (0, 3, 4)


def test_bad_cam_is_not_written(tmp_path):
    with pytest.raises(ValueError, match=r"a.npz: expected values in \[0, 1\], found -0.5"):
        cams.save_cam(tmp_path / "a.npz", [CAT, DOG], CAM - 0.5)
    assert not list(tmp_path.iterdir())


def test_bad_cam_files_are_named(tmp_path):
    path = tmp_path / "a.npz"
    with pytest.raises(FileNotFoundError, match="a.npz: no such CAM file"):
        cams.load_cam(path)
    cams.save_cam(path, [CAT, DOG], CAM)
    whole = path.read_bytes()
    for content in (b"", b"text", whole[:60], whole[: len(whole) // 2], whole[:150] + b"x" * 40 + whole[190:]):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="a.npz: cannot be read as a CAM file"):
            cams.load_cam(path)
    np.savez(str(path), keys=np.array([1]), maps=np.zeros((1, 2, 2), np.float16))
    with pytest.raises(ValueError, match="a.npz: expected the arrays classes and maps, found keys, maps"):
        cams.load_cam(path)
    np.savez(str(path), classes=np.array([{}], dtype=object), maps=np.zeros((1, 2, 2), np.float16))
    with pytest.raises(ValueError, match="a.npz: cannot be read as a CAM file"):
        cams.load_cam(path)
    np.savez(str(path), classes=np.array([1]), maps=np.zeros((1, 2, 2)))
    with pytest.raises(ValueError, match="a.npz: expected classes int64 and maps float16, found int64 and float64"):
        cams.load_cam(path)
    np.savez(str(path), classes=np.array([1]), maps=np.full((1, 2, 2), np.nan, np.float16))
    with pytest.raises(ValueError, match=r"a.npz: expected values in \[0, 1\], found nan"):
        cams.load_cam(path)
    np.save(str(path.with_suffix(".npy")), np.zeros(3))
    with pytest.raises(ValueError, match="a.npy: expected one pickled dictionary, found an array of float64"):
        cams.load_cam(path.with_suffix(".npy"))


def test_resize_maps():
    maps = np.array([[[0.0, 1.0]], [[0.5, 0.5]]], np.float16)  # (2, 1, 2)
    resized = cams.resize_maps(maps, (2, 4))
    assert resized.dtype == np.float32
    np.testing.assert_allclose(resized[0], [[0, 0.25, 0.75, 1]] * 2)
    np.testing.assert_allclose(resized[1], np.full((2, 4), 0.5))
    assert cams.resize_maps(np.ones((1, 7, 9)), (101, 173)).max() == 1  # not 1.0000001
    assert cams.resize_maps(np.zeros((0, 3, 3)), (5, 6)).shape == (0, 5, 6)
    with pytest.raises(ValueError, match="maps and size"):
        cams.resize_maps(np.zeros((3, 3)), (5, 6))


def test_substitution_is_nested_and_repeatable():
    ids = [f"2007_{number:06d}" for number in range(1000)]
    five, ten = (seeds.substituted_ids(ids, share, seed=3) for share in (0.05, 0.10))
    assert len(five) == 50 and len(ten) == 100
    assert set(five) < set(ten) < set(ids)
    assert five == sorted(five) == seeds.substituted_ids(ids, 0.05, seed=3)
    assert seeds.substituted_ids(ids[::-1], 0.05, seed=3) == five[::-1]
    assert seeds.substituted_ids(ids, 0.05, seed=4) != five
    assert seeds.substituted_ids(ids, 0) == [] and seeds.substituted_ids(ids, 1) == ids
    assert len(seeds.substituted_ids([str(number) for number in range(10582)], 0.05)) == 529
    for share in (-0.1, 5, float("nan")):
        with pytest.raises(ValueError, match="share: expected a fraction"):
            seeds.substituted_ids(ids, share)
    with pytest.raises(ValueError, match="expected each id once, found 1 repeated"):
        seeds.substituted_ids(["a", "a"], 0.5)


def test_read_seed_checks_size_and_values(tmp_path):
    path = tmp_path / "a.png"
    write_label(path, np.array([[0, 20, 255]]))
    np.testing.assert_array_equal(cams.read_seed(path, (1, 3), 21), [[0, 20, 255]])
    with pytest.raises(ValueError, match=r"a.png: expected class indices 0..19 and 255, found \[20\]"):
        cams.read_seed(path, (1, 3), 20)
    with pytest.raises(ValueError, match=r"a.png: expected the size of its image, \(3, 1\)"):
        cams.read_seed(path, (3, 1), 21)
