"""tools/report.py --results: its files, options and errors; and the logs that its curves are drawn from."""

import base64
import io
import json
import re
import shutil
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from report_pages import Page, png, results
from scripts import module_of

from cian.base.files import write_bytes, write_text
from cian.base.results import write_results
from cian.figures.sheet import write_png
from cian.report.files import as_jpeg
from cian.report.training_log import keep_curves, read_curves, read_log, smooth, thin


def write_log(path, steps):
    write_text(path, "".join(json.dumps(step) + "\n" for step in steps))
    return path


def test_logs_and_smoothing(tmp_path):
    steps = [dict(epoch=e, step=s, lr=1, loss=3.0, ce_self=e + s, cp_self=1, seconds=2) for e in (0, 1) for s in (0, 1, 2, 3)]
    path = write_log(tmp_path / "log.jsonl", steps)
    with open(path, "a", encoding="utf-8") as file:
        file.write('{"epoch": 2, "st')  # killed while it wrote
    curves = read_log(path)
    epochs, values = curves["ce_self"]
    np.testing.assert_allclose(epochs, [0.25, 0.5, 0.75, 1, 1.25, 1.5, 1.75, 2])
    assert list(curves) == ["ce_self", "cp_self"] and values.tolist() == [0, 1, 2, 3, 1, 2, 3, 4]
    values = np.random.default_rng(0).normal(size=57)
    slow = [values[max(0, i - 5) : i + 6].mean() for i in range(57)]  # 57 * 0.2 / 2 -> 5 on either side
    np.testing.assert_allclose(smooth(values, 0.2), slow)
    np.testing.assert_allclose(smooth(values[:9]), values[:9])
    for bad, message in (
        ([*steps, dict(epoch=2, step=0, ce_self=1.0)], r"line 9: loss terms \['ce_self'\], expected \['ce_self', 'cp_self'\]"),
        ([steps[0], [1]], "line 2: .*expected a JSON object"),
        ([dict(epoch=0)], "line 1: .*expected a JSON object"),
        ([], "no step of a training"),
    ):
        with pytest.raises(ValueError, match=message) as caught:
            read_log(write_log(path, bad))
        assert str(path) in str(caught.value)


def test_curves_are_kept_as_data(tmp_path):
    rng = np.random.default_rng(1)
    losses = rng.normal(size=(2, 100))
    steps = [dict(epoch=e, step=s, lr=1, loss=3.0, ce_self=losses[e, s], seconds=2) for e in (0, 1) for s in range(100)]
    steps[100:100] = [{"epoch": 0, "val_miou": 0.25}]
    write_log(tmp_path / "runs" / "a" / "log.jsonl", [*steps, {"epoch": 1, "val_miou": 0.5}])
    keep_curves(tmp_path / "results", ["a", "none"], tmp_path / "runs")
    kept = read_curves(tmp_path / "results")
    assert list(kept) == ["a"] and kept["a"]["val_miou"] == [[1, 2], [25, 50]]
    epochs, values = kept["a"]["ce_self"]
    assert len(epochs) == 100 and (epochs[0], epochs[-1]) == (0.01, 2) and np.all(np.diff(epochs) > 0)
    slow = smooth([step["ce_self"] for step in steps if "step" in step])
    places = np.round(np.array(epochs) * 100).astype(int) - 1
    np.testing.assert_allclose(values, slow[places], rtol=5e-4)
    keep_curves(tmp_path / "results", ["a"], tmp_path / "gone")  # without the logs they stay
    write_log(tmp_path / "runs" / "b" / "log.jsonl", steps[:3])
    keep_curves(tmp_path / "results", ["b"], tmp_path / "runs")
    assert read_curves(tmp_path / "results") == {**kept, "b": thin(read_log(tmp_path / "runs" / "b" / "log.jsonl"))}
    path = tmp_path / "results" / "curves.jsonl"
    for bad in ('{"run": "a"}', "[", '{"run": "a", "curves": {"x": [[1], []]}}', '{"run": "a", "curves": {"x": [[1], [NaN]]}}'):
        write_text(path, '{"run": "c", "curves": {}}\n' + bad + "\n")
        with pytest.raises(ValueError, match=r"curves.jsonl, line 2: .* expected run and curves"):
            read_curves(tmp_path / "results")


@pytest.fixture
def tool():
    """tools/report.py as a module."""
    return module_of("report")


def test_the_tool(tool, tmp_path, capsys):
    write_results(tmp_path / "results", results())
    for number, run in enumerate(["cian_animals_Baseline-0", "cian_animals_+ CP-0", "cian_animals_+ CP-1"]):
        terms = dict(ce_self=2.0 - number) if number == 0 else dict(ce_self=2.0, cp_self=1.0)
        steps = [dict(epoch=0, step=s, lr=1, loss=3.0, seconds=1, **terms) for s in range(30)]
        write_log(tmp_path / "runs" / run / "log.jsonl", steps)
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "fig3_one.png").write_bytes(png(3))
    (tmp_path / "figures" / "other.png").write_bytes(png(3))
    out = tmp_path / "out"
    common = ["--results", str(tmp_path / "results"), "--output", str(out), "--runs", str(tmp_path / "runs")]
    tool.main([*common, "--figures", str(tmp_path / "figures"), "--title", "Made up"])
    names = ("animals-differences", "2-animals-classes", "2-animals-curves", "3-animals-curves")
    plots = {f"cian-{name}.png" for name in names}
    files = {"REPORT.html", "REPORT.md", "numbers.csv"}
    assert {path.name for path in out.iterdir()} == files | plots
    html, markdown = ((out / name).read_text(encoding="utf-8") for name in ("REPORT.html", "REPORT.md"))
    assert markdown.startswith("# Made up\n") and "<title>Made up</title>" in html
    assert set(re.findall(r"\]\(([^)]*)\)", markdown)) == plots
    left = "1 pictures were drawn; they are left out because they show photographs"
    assert left in html and left in markdown and base64.b64encode(png(3)).decode() not in html
    text = " ".join(Page(html).text)
    assert "Training curves of 4 of these 7 runs are not kept here" in text
    assert "ce_self: cross entropy of the image's own prediction against the seeds (Eq. 6); cp_self: completion" in text
    assert f"cian report --results {tmp_path / 'results'} --title 'Made up' --output FOLDER" in text
    shutil.rmtree(str(tmp_path / "runs"))
    tool.main([*common[:4], "--figures", str(tmp_path / "figures"), "--title", "Made up"])
    assert (out / "REPORT.html").read_text(encoding="utf-8") == html  # the same from the kept curves alone, to the byte
    tool.main([*common, "--figures", str(tmp_path / "figures"), "--photographs"])
    assert base64.b64encode(png(3)).decode() in (out / "REPORT.html").read_text(encoding="utf-8")
    assert (out / "figures" / "fig3_one.png").read_bytes() == png(3)
    shutil.copytree(str(out / "figures"), str(tmp_path / "results" / "figures"))  # kept beside the measurements
    capsys.readouterr()
    # a second folder, with other runs of the same cells
    write_results(tmp_path / "more", [replace(found, run=f"{found.run}-more{n}") for n, found in enumerate(results())])
    tool.main([*common[:4], "--results", str(tmp_path / "more")])
    assert "](figures/fig3_one.png)" in (out / "REPORT.md").read_text(encoding="utf-8")
    assert capsys.readouterr().out.startswith(f"{2 * len(results())} measurements: {out / 'REPORT.html'}")


def test_figures_of_scenes_are_kept_beside_the_measurements(tool, tmp_path):
    write_results(tmp_path / "results", results("scenes"))
    for name, noise in (("fig3_one", 0), ("fig4_worst", 255)):
        picture = np.random.default_rng(0).integers(0, noise + 1, (600, 700, 3), dtype=np.uint8)
        write_png(tmp_path / "drawn" / f"{name}.png", picture)
    write_bytes(tmp_path / "results" / "figures" / "fig3_old.jpg", as_jpeg(png(3)))
    words = ["--results", str(tmp_path / "results"), "--output", str(tmp_path / "out")]
    tool.main([*words, "--figures", str(tmp_path / "drawn")])
    kept = {path.name: path.read_bytes() for path in (tmp_path / "results" / "figures").iterdir()}
    assert set(kept) == {"fig3_one.jpg", "fig4_worst.jpg"} and all(len(data) <= 300_000 for data in kept.values())
    html = (tmp_path / "out" / "REPORT.html").read_text(encoding="utf-8")
    for data in kept.values():
        assert Image.open(io.BytesIO(data)).size == (700, 600) and base64.b64encode(data).decode() in html
    assert "data:image/jpeg;base64," in html
    tool.main(words)  # the same from what was kept
    assert (tmp_path / "out" / "REPORT.html").read_text(encoding="utf-8") == html


def test_bad_options_and_files_are_named(tool, tmp_path, capsys):
    (tmp_path / "fig4_bad.png").write_bytes(b"GIF89a")
    for words, message in (
        (["--results", "x"], "--results needs --output"),
        (["--results", "x", "--run", "y", "--output", "z"], "not allowed with"),
        (["--run", "x", "--sheet-list", "y"], "need --data"),
        (["--results", "x", "--output", "z", "--photographs"], "--photographs needs --figures"),
    ):
        with pytest.raises(SystemExit):
            tool.parse_args(words)
        assert message in capsys.readouterr().err
    out = ["--output", str(tmp_path / "out")]
    with pytest.raises(FileNotFoundError, match="none: no such folder of results"):
        tool.main(["--results", str(tmp_path / "none"), *out])
    write_results(tmp_path, results())
    with pytest.raises(ValueError, match="fig4_bad.png: not a PNG file"):
        tool.main(["--results", str(tmp_path), "--figures", str(tmp_path), *out])
    with pytest.raises(FileNotFoundError, match="nowhere: no such folder of figures"):
        tool.main(["--results", str(tmp_path), "--figures", str(tmp_path / "nowhere"), *out])
    write_text(tmp_path / "results.jsonl", "{}")
    with pytest.raises(ValueError, match="results.jsonl, line 1: missing"):
        tool.main(["--results", str(tmp_path), *out])
    assert not (tmp_path / "out").exists()
