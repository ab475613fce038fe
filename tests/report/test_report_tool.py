"""tools/report.py --results: its files, options and errors; and the logs that its curves are drawn from."""

import base64
import json
import re
from dataclasses import replace

import numpy as np
import pytest
from report_pages import Page, png, results
from scripts import module_of

from cian.base.files import write_text
from cian.base.results import write_results
from cian.report.training_log import read_log, smooth


def write_log(path, steps):
    write_text(path, "".join(json.dumps(step) + "\n" for step in steps))
    return path


def test_logs_and_smoothing(tmp_path):
    steps = [dict(epoch=e, step=s, lr=1, loss=3.0, ce_self=e + s, cp_self=1, seconds=2) for e in (0, 1) for s in (0, 1, 2, 3)]
    path = write_log(tmp_path / "log.jsonl", steps)
    with open(path, "a", encoding="utf-8") as file:
        file.write('{"epoch": 2, "st')  # killed while it wrote
    epochs, terms = read_log(path)
    np.testing.assert_allclose(epochs, [0.25, 0.5, 0.75, 1, 1.25, 1.5, 1.75, 2])
    assert list(terms) == ["ce_self", "cp_self"] and terms["ce_self"].tolist() == [0, 1, 2, 3, 1, 2, 3, 4]
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
    plots = {"differences.png", "cian-2-animals-classes.png", "cian-2-animals-curves.png", "cian-3-animals-curves.png"}
    files = {"REPORT.html", "REPORT.md", "numbers.csv"}
    assert {path.name for path in out.iterdir()} == files | plots
    html, markdown = ((out / name).read_text(encoding="utf-8") for name in ("REPORT.html", "REPORT.md"))
    assert markdown.startswith("# Made up\n") and "<title>Made up</title>" in html
    assert set(re.findall(r"\]\(([^)]*)\)", markdown)) == plots
    left = "1 pictures were drawn; they are left out because they show photographs"
    assert left in html and left in markdown and base64.b64encode(png(3)).decode() not in html
    assert "No log of cian_animals_Baseline-1, cian_animals_Baseline-2" in " ".join(Page(html).text)
    first = html
    tool.main([*common, "--figures", str(tmp_path / "figures"), "--title", "Made up"])
    assert (out / "REPORT.html").read_text(encoding="utf-8") == first  # the same again, to the byte
    tool.main([*common, "--figures", str(tmp_path / "figures"), "--photographs"])
    assert base64.b64encode(png(3)).decode() in (out / "REPORT.html").read_text(encoding="utf-8")
    assert (out / "fig3_one.png").read_bytes() == png(3)
    capsys.readouterr()
    # a second folder, with other runs of the same cells
    write_results(tmp_path / "more", [replace(found, run=f"{found.run}-more{n}") for n, found in enumerate(results())])
    tool.main([*common[:4], "--results", str(tmp_path / "more")])
    assert capsys.readouterr().out.startswith(f"{2 * len(results())} measurements: {out / 'REPORT.html'}")


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
