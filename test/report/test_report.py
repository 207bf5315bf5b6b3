"""The report's content from an artificial folder of results: figures, escaping, missing parts, failures, size."""

from __future__ import annotations

import json
import math
import re
import shutil
from dataclasses import replace
from datetime import datetime
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from jinja2 import UndefinedError
from made_recordings import CAMERA, write_folder
from made_results import (
    ABS_REL,
    CONSTANT,
    LOST,
    METRIC,
    REASON,
    RECORDING,
    RELATIVE,
    smooth_scene,
    write_results_folder,
)
from markupsafe import Markup

from mono_depth_recon.cli import main
from mono_depth_recon.errors import DataError
from mono_depth_recon.frames import Prediction
from mono_depth_recon.metrics.cloud import DEFINITIONS
from mono_depth_recon.metrics.depth import affine_fit
from mono_depth_recon.metrics.protocols import PROTOCOLS
from mono_depth_recon.report.charts import Axis, Series, legend, line_chart, number, readable_end
from mono_depth_recon.report.frames import choose_frames, frames_of, metres
from mono_depth_recon.report.message import attribution_of, headline, statements
from mono_depth_recon.report.origin import write_origin
from mono_depth_recon.report.page import write_report
from mono_depth_recon.report.results import read_log, read_results
from mono_depth_recon.report.tables import COLUMNS, Column, Line, data_table
from mono_depth_recon.report.templates import breakable, joined, render
from mono_depth_recon.report.views import viewer_scene

_EMPTY = {"area", "br", "hr", "img", "input", "link", "meta", "wbr"}


class Page(HTMLParser):
    """A page as a parser sees it: elements, text outside scripts and styles, and whether tags are closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == [], "every element is closed"
        self.text = " ".join("".join(self.words).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in _EMPTY:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open.pop() == tag, f"</{tag}> closes another element"
        if tag in ("td", "th", "p", "li", "h1", "h2", "h3", "dd", "dt"):
            self.words.append(" ")

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] not in ("script", "style"):
            self.words.append(data)

    def of(self, tag: str, **wanted: str) -> list[dict[str, str | None]]:
        """Attributes of the elements that have the given ones."""
        return [
            attributes
            for name, attributes in self.tags
            if name == tag and all(attributes.get(key.rstrip("_")) == value for key, value in wanted.items())
        ]


def without_recording(folder: Path) -> Path:
    """Results whose recording is gone: their report has no images, which would take seconds."""
    config = folder / "config.yaml"
    config.write_text(config.read_text().replace(RECORDING, f"elsewhere/{RECORDING}"))
    return folder


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_results_folder(tmp_path_factory.mktemp("made"))


@pytest.fixture(scope="module")
def page(results: Path) -> Page:
    return Page(write_report(results).read_text(encoding="utf-8"))


def test_the_page_is_one_file_that_refers_to_nothing_outside(results: Path, page: Page) -> None:
    text = (results / "report.html").read_text(encoding="utf-8")
    addresses = [
        value
        for _, attributes in page.tags
        for name, value in attributes.items()
        if name in ("src", "href", "srcset", "data", "action") and value
    ]
    assert addresses and all(value.startswith(("data:", "#")) for value in addresses)
    assert not re.search(r"@import|url\((?!data:)|fetch\(|XMLHttpRequest|WebSocket", text)
    assert "default-src 'none'" in str(page.of("meta")), "and a policy holds the browser to it"
    assert len(text) < 15e6


def test_names_with_markup_are_text_everywhere(page: Page) -> None:
    assert not page.of("i", **{"class": ""}) and "<i>far & wide" in page.text
    assert "weights of <absent> are missing" in page.text
    assert not [attributes for tag, attributes in page.tags if tag in ("absent", "truncated", "metres", "desk", "of")]
    assert "mono-depth-recon evaluate <desk>" in page.text and "the last frame is <truncated>" in page.text


def test_the_head_says_what_was_measured_and_the_main_message_follows_from_the_numbers(
    results: Path, page: Page
) -> None:
    read = read_results(results)
    assert headline(read) == (
        "near_model was scored in metres: 10 % off on average, 67 % less error than the baseline ‘constant’ (0.300)."
    )
    assert " ".join(headline(read).split()) in page.text.replace("\u00a0", " ")
    for part in (
        "2026-01-02",
        "commit abc1234",
        "a CPU, 2 cores",
        "TUM RGB-D benchmark (Sturm et al., IROS 2012), CC BY 4.0",
    ):
        assert part in page.text
    said = " ".join(statements(read))
    assert "R² −2.100: it predicts disparity" in said
    assert f"No figures for {LOST}" in said
    assert "50 % by near_model" not in said and "70 % by <i>far & wide on freiburg1_made" in said
    assert "near_model to noise (sigma 30), AbsRel grows from 0.100 to 0.250" in said


@pytest.mark.parametrize(
    ("model", "baseline", "words"),
    [(0.30, 0.30, "no better than"), (0.40, 0.30, "which is worse than"), (0.15, 0.30, "50 % less error than")],
)
def test_the_message_compares_a_model_with_a_baseline(
    results: Path, tmp_path: Path, model: float, baseline: float, words: str
) -> None:
    changed = shutil.copytree(results, tmp_path / "changed")
    told = json.loads((changed / "summary.json").read_text())
    for row in told["results"]:
        if row["figures"].get("abs_rel"):
            row["figures"]["abs_rel"] = baseline if row["baseline"] else model
    (changed / "summary.json").write_text(json.dumps(told))
    assert words in headline(read_results(changed))


def test_only_recordings_of_tum_are_attributed_to_it() -> None:
    assert "CC BY 4.0" in attribution_of(["rgbd_dataset_freiburg3_x"]) and attribution_of(["my desk"]) == ""


def test_every_table_names_its_protocol_and_failures_are_rows_with_reasons(results: Path, page: Page) -> None:
    for text in read_results(results).protocols.values():
        assert text in page.text
    assert page.text.count(f"6 of 6 frames failed: {REASON}") == 5, "one row of each protocol"
    assert "needs metres, but the model predicts relative disparity" in page.text
    assert len(page.of("td", class_="reason")) == 2 + 1, "two protocols, and the model without sigma: no failures"
    assert "nan" not in page.text.lower().split()


def test_the_best_of_the_models_is_marked_and_no_baseline() -> None:
    columns = {"abs_rel": COLUMNS["abs_rel"], "delta1": COLUMNS["delta1"], "other": Column("Other", "no end is better")}
    lines = [
        Line("a", {"abs_rel": 0.2, "delta1": 0.5, "other": 1.0}),
        Line("b", {"abs_rel": 0.1, "delta1": 0.4}),
        Line("c", {"abs_rel": math.nan}, note="failed <here>"),
        Line("d", {"abs_rel": 0.01}, baseline=True),
    ]
    made = data_table(lines, columns, "caption")
    marked = re.findall(r"<strong>([\d.]+ ?%?)<span", made)
    assert marked == ["50.0 %", "0.100"]
    assert made.index("Baselines") > made.index("failed &lt;here&gt;") and 'aria-sort="none"' in made
    assert "best" not in data_table(lines[1:2], columns, "one model has no rival").replace("better", "")


def test_the_papers_figures_are_shown_with_ours_of_the_same_family(results: Path, tmp_path: Path) -> None:
    changed = shutil.copytree(results, tmp_path / "changed")
    told = json.loads((changed / "summary.json").read_text().replace(METRIC, "unetpp_mobile"))
    (changed / "summary.json").write_text(json.dumps(told))
    page = Page(write_report(without_recording(changed)).read_text(encoding="utf-8"))
    assert "−2.2077" in page.text and "0.8295" in page.text
    assert re.search(
        r"U-Net\+\+ ?the paper, one TUM image 0.7053 0.0244 16.1293 0.4619 ?unetpp_mobile, 6 frames "
        r"0.5000 0.1000 10.0000 0.6000",
        page.text,
    )


def test_frames_are_chosen_by_the_stated_rule(results: Path) -> None:
    choice = choose_frames(read_results(results), RECORDING, count=4)
    assert list(choice.reasons.values()) == ["median", "frame 2 of 6", "best", "worst"], "in the order of time"
    assert "AbsRel under affine" in choice.rule and "4 at most" in choice.rule
    every = choose_frames(read_results(results), RECORDING, count=20)
    assert len(every.reasons) == 5, "a frame without figures has no place in the order"


@pytest.mark.parametrize(
    ("frames", "reasons"), [(1, ["frame 1 of 1"]), (2, ["best", "worst"]), (3, ["median", "worst", "best"])]
)
def test_labels_of_few_frames(tmp_path: Path, frames: int, reasons: list[str]) -> None:
    read = read_results(write_results_folder(tmp_path, parts=False, frames=frames))
    assert list(choose_frames(read, RECORDING).reasons.values()) == reasons


def test_pictures_go_into_the_page_and_into_the_folder(results: Path, page: Page) -> None:
    kinds = [attributes.get("data-kind") for attributes in page.of("img")]
    assert kinds.count("colour") == kinds.count("truth") == 5
    assert kinds.count("prediction") == kinds.count("error") == 10 and kinds.count("heat") == 2
    assert all(attributes.get("alt") for attributes in page.of("img"))
    names = {path.name for path in (results / "pictures").iterdir()}
    assert names == {
        f"{RECORDING}_{what}.png" for what in (*(f"frame_{i}" for i in range(1, 6)), "mean_error", "views")
    }


def test_relative_models_are_shown_in_metres_after_the_fit_and_explain_the_papers_r2(results: Path) -> None:
    made = frames_of(read_results(results), RECORDING)
    for frame in made.shown:
        known = np.isfinite(frame.truth)
        np.testing.assert_allclose(frame.depths[RELATIVE][known], frame.truth[known], rtol=1e-4)
        assert frame.missing == {LOST: REASON}
    scatter = made.scatters[RELATIVE]
    assert scatter.frames == 6 and scatter.r2["paper"] < -1 and scatter.r2["affine"] > 0.999
    expected = np.mean([0.02 + 0.03 * i for i in range(6)])
    assert float(np.nanmean(made.heats[METRIC])) == pytest.approx(expected, rel=1e-3)


def test_metres_of_a_prediction() -> None:
    truth = np.linspace(1, 4, 60, dtype=np.float32).reshape(6, 10)
    truth[0, 0] = np.nan
    disparity = 2 / np.nan_to_num(truth, nan=2.0) + 1
    known = np.isfinite(truth)
    scale, shift = affine_fit(disparity[known], truth[known])
    expected = 1 / (scale * disparity + shift)
    np.testing.assert_allclose(metres(Prediction(disparity=disparity), truth), expected, rtol=1e-5)
    assert np.array_equal(metres(Prediction(depth=truth + 1), truth), truth + 1, equal_nan=True)
    with pytest.raises(DataError, match="truth's size"):
        metres(Prediction(depth=truth[:3]), truth)


def test_tables_in_3d_name_protocol_range_averaging_and_units(page: Page) -> None:
    compared = (
        f"{METRIC} under metric (no alignment); <i>far & wide under affine (scale and shift of each frame, in "
        "disparity); crop none; truth 0.001 to 10 m; averaging mean of the frames' values, of 6"
    )
    for text in ("As predicted", "After Open3D's outlier removal and voxel grid"):
        name = f"{text}, against the cloud of the true depth; {compared}"
        assert page.of("div", class_="scroll", **{"aria-label": name})
    assert page.of("button", title="points per square metre of surface")
    assert DEFINITIONS["density"].startswith("points per square metre of surface")
    assert page.of("td", **{"data-value": "0.4321"}) and "Rank corr." in page.text
    (paper,) = (
        str(each["aria-label"])
        for each in page.of("div", class_="scroll")
        if "The paper's Tables 1 and 2" in str(each["aria-label"])
    )
    assert PROTOCOLS["paper"].text() in paper


def test_the_3d_data_of_the_page_gives_back_the_depth(results: Path) -> None:
    import base64

    frame = frames_of(read_results(results), RECORDING).shown[0]
    scene = viewer_scene(frame, {"truth": "Truth", **read_results(results).names})
    assert [each["name"] for each in scene["depths"]] == ["Truth", METRIC, "<i>far & wide"]
    grid = np.frombuffer(base64.b64decode(scene["depths"][0]["data"]), "<u2").reshape(scene["height"], scene["width"])
    truth = frame.truth[:: scene["stride"], :: scene["stride"]]
    np.testing.assert_allclose(grid * scene["step"], np.nan_to_num(truth, nan=0.0), atol=1e-4)


def test_missing_parts_are_left_out_with_the_flag_that_makes_them(tmp_path: Path, page: Page) -> None:
    bare = without_recording(write_results_folder(tmp_path, parts=False))
    made = Page(write_report(bare).read_text(encoding="utf-8"))
    for anchor in ("robustness", "uncertainty", "table-3", "training"):
        assert page.of("section", id=anchor) and not made.of("section", id=anchor)
    for flag in ("--with 3d", "--with robustness", "--with uncertainty", "--with table3", "--training-log"):
        assert flag in made.text and f"mono-depth-recon evaluate {flag}" not in page.text
    assert "Not in this report" not in page.text


def test_a_recording_that_is_gone_leaves_tables_and_says_why(results: Path, tmp_path: Path) -> None:
    changed = shutil.copytree(results, tmp_path / "changed")
    shutil.rmtree(changed / "pictures", ignore_errors=True)
    page = Page(write_report(without_recording(changed)).read_text(encoding="utf-8"))
    assert "No images:" in page.text and "does not exist" in page.text
    assert page.of("section", id="scores") and not page.of("img")


def test_a_damaged_prediction_is_named_in_its_place(tmp_path: Path) -> None:
    folder = write_results_folder(tmp_path, parts=False, frames=3)
    for path in folder.glob(f"predictions/*/{METRIC}/*.npz"):
        path.write_bytes(b"PK\3\4 no more")
    made = frames_of(read_results(folder), RECORDING)
    assert all("delete it to compute it again" in frame.missing[METRIC] for frame in made.shown)
    assert METRIC not in made.heats and RELATIVE in made.heats


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("summary.json", "{"),
        ("summary.json", "[]"),
        ("summary.json", "{}"),
        ("robustness.json", "no"),
        ("config.yaml", "a: ["),
        ("config.yaml", ""),
        ("per_frame.csv", ""),
        ("per_frame.csv", "recording,model,protocol,frame,reason\n1,2\n"),
        ("summary.json", "[" * 200_000),
        ("config.yaml", "[" * 3000),
    ],
)
def test_damaged_results_are_named_in_one_line(results: Path, tmp_path: Path, name: str, text: str) -> None:
    changed = shutil.copytree(results, tmp_path / "changed")
    (changed / name).write_text(text)
    with pytest.raises(DataError, match="evaluate again"):
        read_results(changed)


@pytest.mark.parametrize("name", ["../../evil", "..", "/tmp/evil", ""])
@pytest.mark.parametrize("file", ["summary.json", "per_frame.csv"])
def test_names_that_lead_out_of_the_folder_are_refused(tmp_path: Path, file: str, name: str) -> None:
    folder = write_results_folder(tmp_path / "results", parts=False, frames=1)
    tree = json.loads((folder / "summary.json").read_text())
    tree["results"][0]["recording"] = name
    if file == "summary.json":
        (folder / file).write_text(json.dumps(tree))
    else:
        (folder / file).write_text(f"recording,model,protocol,frame,reason\n{name},a,metric,1,\n")
    with pytest.raises(DataError, match=f"a recording must have the name of one file or folder, got '{name}'"):
        write_report(folder)


def test_nothing_is_written_through_links_of_the_results(tmp_path: Path) -> None:
    folder = write_results_folder(tmp_path / "results", parts=False, frames=1)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    log = tmp_path / "log.csv"
    log.write_text("step,loss\n1,0.5\n")
    for name, logs in (("pictures", []), ("training_logs", [log])):
        shutil.rmtree(folder / name, ignore_errors=True)
        (folder / name).symlink_to(elsewhere)
        with pytest.raises(
            DataError, match=f"{name} is a link to .*elsewhere, outside of .*: nothing is written there"
        ):
            write_report(folder, logs)
        (folder / name).unlink()
    (folder / "training_logs").mkdir()
    (folder / "training_logs" / f"{tmp_path.name}_log.csv").symlink_to(elsewhere / "precious")
    (elsewhere / "precious").write_text("precious")
    write_report(folder, [log])
    assert [path.read_text() for path in elsewhere.iterdir()] == ["precious"]


def test_the_command_and_a_folder_without_results(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "unetpp" / "log.csv"
    log.parent.mkdir()
    log.write_text("step,loss,tum_abs_rel\n500,0.5,0.3\n1000,0.25,0.2\n")
    copy = without_recording(shutil.copytree(results, tmp_path / "copy"))
    assert main(["report", str(copy), "--training-log", str(log)]) == 0
    assert "report.html" in capsys.readouterr().out
    assert (copy / "training_logs" / "unetpp_log.csv").read_text() == log.read_text()
    assert "unetpp_log" in Page((copy / "report.html").read_text(encoding="utf-8")).text
    assert main(["report", str(tmp_path)]) == 1
    assert "has no results" in capsys.readouterr().err


@pytest.mark.slow
def test_evaluate_writes_the_report_at_its_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The files as written by scoring the embedded model."""
    path, log, output = write_folder(tmp_path / "desk", smooth_scene(2)), tmp_path / "log.csv", tmp_path / "results"
    log.write_text("epoch,loss\n1,0.5\n2,0.4\n")
    status = main(
        [
            "evaluate",
            str(path),
            "--output",
            str(output),
            "--camera",
            CAMERA,
            "--protocols",
            "metric",
            "affine",
            "--training-log",
            str(log),
            "--baseline-frames",
            f"{path}:0:0",
            "--workers",
            "1",
        ]
    )
    assert status == 0 and f"open {output / 'report.html'} in a browser" in capsys.readouterr().out
    page = Page((output / "report.html").read_text(encoding="utf-8"))
    assert "unetpp_lite was scored in metres" in page.text.replace("\u200b", "")
    assert "the baseline ‘constant’" in page.text or "the baseline ‘mean map’" in page.text
    told = json.loads((output / "summary.json").read_text())
    row = next(row for row in told["results"] if (row["model"], row["protocol"]) == ("unetpp_lite", "metric"))
    assert number(row["figures"]["abs_rel"]) in page.text and "CC BY 4.0" not in page.text
    assert [attributes["data-kind"] for attributes in page.of("img") if "data-kind" in attributes].count("error") == 2
    assert page.of("section", id="training") and not page.of("section", id="paper")


@pytest.mark.parametrize("text", ["", "step,loss\n", "step,loss\n1,much\n", "step,loss\n1,2,3\n"])
def test_other_files_than_training_logs_are_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "log.csv").write_text(text)
    with pytest.raises(DataError, match="training log"):
        read_log(tmp_path / "log.csv")


# templates, charts and numbers


HOSTILE = """</script><b>"&'{{ 7 * 7 }}"""


def test_templates_escape_text_and_attributes_and_leave_markup() -> None:
    made = legend([(HOSTILE, HOSTILE)])
    assert Page(made).text == HOSTILE and Page(made).of("i") == [{"class": HOSTILE, "aria-hidden": "true"}]
    assert not Page(made).of("b") and "49" not in made
    assert joined([Markup("<br>"), None, Markup("{}").format("<")]) == "<br>&lt;"
    assert breakable("a/b_<c") == "a/<wbr>b_<wbr>&lt;c"


def test_nothing_ends_the_script_that_holds_the_3d_data() -> None:
    values = {"reason": HOSTILE, "recording": HOSTILE, "rows": [], "missing": [(HOSTILE, HOSTILE)]}
    made = render("views", **values, scene={"name": HOSTILE})
    assert made.count("</script>") == 1 and not Page(made).of("b")
    (data,) = re.findall(r'<script type="application/json">(.*?)</script>', made)
    assert json.loads(data) == {"name": HOSTILE}
    with pytest.raises(ValueError, match="JSON"):
        render("views", **values, scene={"nan": math.nan})


def test_a_value_that_a_template_lacks_is_an_error() -> None:
    with pytest.raises(UndefinedError, match="body"):
        render("recording", title="no body")


def test_charts_show_gaps_for_what_is_unknown() -> None:
    chart = line_chart(
        "Loss", [Series("a <b>", [1, 2, 3, 4], [0.1, math.nan, 0.3, 0.2], "s0")], Axis("epoch"), Axis("loss", least=0.0)
    )
    path = re.findall(r'<path d="([^"]*)"', chart)[0]
    assert path.count("M") == 2 and path.count("L") == 1 and chart.count("<circle") == 3
    assert "a &lt;b&gt;: 0.300" in chart and "nan" not in chart
    places = [float(value) for value in re.findall(r'cy="([\d.]+)"', chart)]
    assert places[0] > places[2] > places[1], "larger values stand higher"
    assert line_chart("None", [Series("a", [1], [math.nan], "s0")], Axis(""), Axis("")) == ""
    assert "<svg" in line_chart("One", [Series("a", [1], [2.0], "s0")], Axis(""), Axis(""))


@pytest.mark.parametrize("odd", [math.inf, -math.inf, 1e308, -1.5e308])
def test_charts_leave_out_what_no_axis_can_show(odd: float) -> None:
    sound, axis = Series("a", [1, 3], [0.1, 0.2], "s0"), Axis("epoch")
    expected = line_chart("Loss", [sound], axis, Axis("loss"))
    assert line_chart("Loss", [replace(sound, x=[1, odd, 3], y=[0.1, 0.1, 0.2])], axis, Axis("loss")) == expected
    with_gap = line_chart("Loss", [replace(sound, x=[1, 2, 3], y=[0.1, odd, 0.2])], axis, Axis("loss"))
    assert with_gap.count("<circle") == 2 and "inf" not in with_gap and "nan" not in with_gap


def test_a_line_far_above_the_others_is_named_instead_of_flattening_them() -> None:
    lines = [
        Series("a", [1, 2], [0.1, 0.2], "s0"),
        Series("b", [1, 2], [0.15, 0.1], "s1"),
        Series("far", [1, 2], [6.0, 6.5], "s2"),
    ]
    assert readable_end(lines) == pytest.approx(1.06 * 0.2) and readable_end(lines[:2]) is None
    chart = line_chart("Errors", lines, Axis("frame"), Axis("AbsRel", least=0.0, most=readable_end(lines)))
    assert "outside the axis: far: 6.000 to 6.500" in chart
    assert 'class="line s2"' not in chart and chart.count("<circle") == 4


def test_the_origin_keeps_a_command_that_can_be_given_again(tmp_path: Path) -> None:
    write_origin(tmp_path, ["/somewhere/mono_depth_recon/cli/__main__.py", "evaluate", "my desk.bag"])
    told = json.loads((tmp_path / "origin.json").read_text())
    assert told["command"] == "mono-depth-recon evaluate 'my desk.bag'"
    assert datetime.fromisoformat(told["date"]).tzinfo is not None and "numpy" in told["libraries"]
    write_origin(tmp_path, ["/usr/lib/mono_depth_recon/evaluate_tum", "a"])
    assert json.loads((tmp_path / "origin.json").read_text())["command"] == "evaluate_tum a"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.15549, "0.155"),
        (-2.1, "−2.100"),
        (12.345, "12.35"),
        (123.45, "123.5"),
        (12345.6, "12,346"),
        (0.0, "0.000"),
        (0.00012, "0.00012"),
        (0.000012, "1.2e−05"),
        (math.nan, "–"),
        (math.inf, "∞"),
        (-math.inf, "−∞"),
    ],
)
def test_numbers(value: float, text: str) -> None:
    assert number(value) == text


def test_made_figures_stand_in_the_page(page: Page) -> None:
    for model in (METRIC, RELATIVE, CONSTANT):
        assert number(ABS_REL[model]) in page.text
    assert page.of("script", type="application/json")


@pytest.mark.parametrize(
    ("key", "value"),
    [("recording", 3), ("model", None), ("protocol", ["metric"]), ("reason", 7), ("figures", [1]), ("frames", 1e400)],
)
def test_odd_values_of_a_summary_are_one_line(tmp_path: Path, key: str, value: object) -> None:
    row = {"recording": "desk", "model": "a", "protocol": "metric", "frames": 1, "failed": 0, "figures": {"abs_rel": 1}}
    (tmp_path / "summary.json").write_text(json.dumps({"results": [row]}))
    assert read_results(tmp_path).rows[0].figures == {"abs_rel": 1.0}
    (tmp_path / "summary.json").write_text(json.dumps({"results": [{**row, key: value}]}))
    with pytest.raises(DataError, match="but they are damaged"):
        read_results(tmp_path)


@pytest.mark.parametrize(
    ("part", "tree", "problem"),
    [
        ("robustness", {"rows": 3}, "rows must be a list"),
        ("robustness", {"rows": {"a": 1}}, "rows must be a list"),
        ("robustness", {"rows": ["a"]}, "rows.0 must be a table"),
        ("robustness", {"rows": [{"model": 3}]}, "missing keys: rows.0.corruption"),
        ("robustness", {"rows": [{"model": "a", "corruption": "noise", "severity": 0.5, "figures": {}}]}, "severity"),
        ("robustness", {"rows": [{"model": "a", "corruption": "noise", "severity": 1}]}, "missing key: rows.0.figures"),
        ("scores_3d", {"rows": [{"model": "a", "figures": {"density": "dense"}}]}, "rows.0.figures.density must be"),
        ("scores_3d", {"definitions": "none"}, "definitions must be a table"),
        ("uncertainty", {"rows": [{"model": "a", "calibration": []}]}, "rows.0.calibration must be a table"),
        ("uncertainty", {"rows": [{"model": "a", "sparsification": {"fraction": [[]]}}]}, "fraction.0 must be"),
        ("table3", {"columns": "speed"}, "columns must be a table"),
        ("table3", {"rows": [{"speed": None}]}, "rows.0.model must be text, got None"),
        ("table3", {"rows": [{"model": "a", "speed": {"unit": []}}]}, "rows.0.speed"),
        ("origin", {"version": True}, "version must be"),
    ],
)
def test_parts_of_another_form_are_one_line(tmp_path: Path, part: str, tree: object, problem: str) -> None:
    (tmp_path / "summary.json").write_text(json.dumps({"results": []}))
    (tmp_path / f"{part}.json").write_text(json.dumps(tree))
    with pytest.raises(DataError, match=rf"{part}\.json: .*{re.escape(problem)}.*: evaluate again$"):
        read_results(tmp_path)


def test_options_that_are_no_longer_known_are_left_out(results: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(results, tmp_path / "copy")
    settings = (copy / "config.yaml").read_text()
    assert "options:\n" in settings
    (copy / "config.yaml").write_text(settings.replace("options:\n", "options:\n  later: 3\n"))
    assert frames_of(read_results(copy), RECORDING).failure == ""


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ("options: 3", "options must be a table"),
        ("options: {camera: [1]}", "options.camera must be"),
        ("ranges: {desk: [1]}", "ranges.desk must be a list of 2"),
        ("kept: {recordings: [a]}", "kept.recordings must be a table"),
        ("data: 7", "data must be a list"),
    ],
)
def test_settings_of_another_form_are_one_line(tmp_path: Path, settings: str, problem: str) -> None:
    (tmp_path / "summary.json").write_text(json.dumps({"results": []}))
    (tmp_path / "config.yaml").write_text(settings)
    with pytest.raises(DataError, match=re.escape(problem)):
        read_results(tmp_path)
