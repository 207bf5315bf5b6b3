"""The report of an evaluation: one HTML file with embedded images that works offline and makes no request."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from markupsafe import Markup

from ..atomic import folder_within, write_atomically
from ..printing import encoded
from .curves import over_recordings, paper_figures, robustness, training, uncertainty
from .frames import frames_of
from .gallery import make_gallery
from .message import attribution_of
from .results import Results, read_log, read_results
from .sections import Section, head, notes, paper, scores, table_3, three_d
from .templates import asset, joined, render


def write_report(folder: Path, logs: Sequence[Path] = ()) -> Path:
    """Writes report.html and pictures/ to the results in `folder`; returns the path of the report.

    `logs` are training logs (CSV with a column `epoch` or `step`); they are copied to training_logs/ of the results. A
    recording that no longer exists has no images, and the report states that. Raises DataError if `folder` has no
    results, a log cannot be read, or nothing can be written.
    """
    _keep_logs(folder, logs)
    results = read_results(folder)
    path = folder / "report.html"
    write_atomically(path, [encoded(page(results, _sections(results)))])
    return path


def _keep_logs(folder: Path, logs: Sequence[Path]) -> None:
    for log in logs:
        read_log(log)
        target = folder_within(folder, "training_logs") / f"{log.parent.name or 'log'}_{log.stem}.csv"
        write_atomically(target, [log.read_bytes()])


def _sections(results: Results) -> list[Section]:
    made = [frames_of(results, recording) for recording in results.recordings]
    gallery = make_gallery(results, made)
    curves = over_recordings(results)
    sections = [
        Section(
            "frames",
            "Frames",
            "Frames",
            "The slider goes from colour through truth and prediction to error.",
            gallery.frames,
        ),
        scores(results),
        Section("errors", "Errors", "Errors by pixel and frame", "", joined([gallery.heats, curves])),
        paper(results, paper_figures(results, made)),
        three_d(results, gallery.views),
        Section(
            "robustness",
            "Robustness",
            "Robustness",
            "The effect of noise, blur, compression, brightness and resolution on the error.",
            robustness(results),
        ),
        Section(
            "uncertainty",
            "Uncertainty",
            "Uncertainty",
            "How well sigma predicts the error, and whether it detects anomalies.",
            uncertainty(results),
        ),
        table_3(results),
        Section("training", "Training", "Training", "", training(results)),
        notes(results),
    ]
    return [section for section in sections if section is not None and section.body]


def page(results: Results, sections: Sequence[Section]) -> str:
    """The whole page: the template filled with style, scripts and sections."""
    return render(
        "page",
        title=f"Depth evaluation: {results.folder.resolve().name}",
        style=Markup(asset("report.css")),
        header=head(results),
        sections=sections,
        attribution=attribution_of(results.recordings),
        script=Markup(asset("report.js") + asset("viewer.js")),
    )
