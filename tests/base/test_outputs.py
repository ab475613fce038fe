"""Records of output folders: files of something else are refused, and the message says how they differ."""

import pytest
from small_exports import contents

from cian.base.files import read_json, write_json
from cian.base.outputs import check_inputs, claim_output

DIGESTS = "a" * 64, "b" * 64
RECORD = {"checkpoint": DIGESTS[0], "fit": "pad", "settings": {"test_size": 161, "flip": True}}


@pytest.fixture
def folder(tmp_path):
    """A folder with a result."""
    (tmp_path / "x.png").write_bytes(b"")
    return tmp_path


def test_the_same_is_taken_again_and_other_ids_join(folder):
    claim_output(folder, "predict.json", RECORD, {"x": {"image": "1"}})
    claim_output(folder, "predict.json", RECORD, {"y": {"image": "2"}})
    claim_output(folder, "predict.json", RECORD, {"x": {"image": "1"}})
    assert read_json(folder / "predict.json") == RECORD
    assert read_json(folder / "inputs.json") == {"x": {"image": "1"}, "y": {"image": "2"}}


@pytest.mark.parametrize("changes, message", [
    ({"fit": "warp"}, r"other settings: fit was 'pad', now 'warp' \(see .*predict.json\); use another --output"),
    ({"checkpoint": DIGESTS[1]}, r"checkpoint was 'aaaaaaaa\.\.\.', now 'bbbbbbbb\.\.\.'"),
    ({"settings": {"test_size": 513, "flip": True}}, r"other settings: test_size was 161, now 513 \(see"),
    ({"network": {"similarity": "dot"}, "classes": []},
     r"predict.json is of older code, which did not record classes, network, so its files could be of something else; use "
     r"another --output or remove the folder \(or, to keep the files as they are, predict.json\)")])  # fmt: skip
def test_something_else_is_refused(changes, message, folder):
    claim_output(folder, "predict.json", RECORD, {"x": {"image": "1"}})
    before = contents(folder)
    with pytest.raises(ValueError, match=message):
        claim_output(folder, "predict.json", {**RECORD, **changes}, {"y": {"image": "2"}})
    assert contents(folder) == before


def test_other_inputs_of_an_id_are_refused_unless_remade(folder):
    claim_output(folder, "a.json", RECORD, {"x": {"image": "1", "tags": [8]}, "y": {"image": "2", "tags": [8]}})
    before = contents(folder)
    other = {"x": {"image": "1", "tags": [12]}, "y": {"image": "2", "tags": [8]}, "z": {"image": "3", "tags": [1]}}
    message = r"holds files of other data: of x tags was \[8\], now \[12\] \(1 of 3 ids differ, see .*inputs.json\)"
    for refuse in (lambda: claim_output(folder, "a.json", RECORD, other), lambda: check_inputs(folder, other)):
        with pytest.raises(ValueError, match=message):
            refuse()
    with pytest.raises(ValueError, match="of y image was '2', now '4'"):
        claim_output(folder, "a.json", RECORD, {"y": {"image": "4", "tags": [1]}}, remade=("tags",))
    assert contents(folder) == before
    claim_output(folder, "a.json", RECORD, other, remade=("tags",))
    assert read_json(folder / "inputs.json") == other


def test_a_record_that_was_removed_gives_its_files_a_new_one(folder):
    write_json(folder / "predict.json", {"checkpoint": DIGESTS[0]})
    (folder / "predict.json").unlink()
    claim_output(folder, "predict.json", RECORD)
    assert read_json(folder / "predict.json") == RECORD


def test_a_folder_without_results_was_not_begun(folder):
    claim_output(folder, "predict.json", {"fit": "warp"}, {"x": {"image": "1"}})
    (folder / "x.png").unlink()
    claim_output(folder, "predict.json", RECORD, {"x": {"image": "2"}})
    assert read_json(folder / "predict.json") == RECORD and read_json(folder / "inputs.json") == {"x": {"image": "2"}}
