"""The topic `scale`: level, text and numbers of a frame's scale."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from made_models import picture, pinhole
from std_msgs.msg import Header

from mono_depth_recon.frames import Frame, Judgement, Scale
from mono_depth_recon.ros.frame_worker import FrameStats
from mono_depth_recon.ros.mapping.figures import MapFigures
from mono_depth_recon.ros.node.diagnostics import Diagnosis, MapDiagnosis
from mono_depth_recon.ros.scale_message import scale_to_msg
from mono_depth_recon.scale.points import PointsScale

GOOD = {"inliers": 0.9, "residual": 0.02, "unexplained": 0.1, "source": "points"}


@pytest.mark.parametrize(
    ("scale", "level", "text"),
    [
        (Scale(0.02, 0.05, **GOOD), DiagnosticStatus.OK, "1 / depth = 0.02 * disparity + 0.05 1/m"),
        (
            Scale(0.02, 0.05, **GOOD, factors=np.array([[1.1, 0.8], [1.0, 1.0]], np.float32)),
            DiagnosticStatus.OK,
            "1 / depth = 0.02 * disparity + 0.05 1/m, varying by up to 20 %",
        ),
        (Scale(7.0, 0.0), DiagnosticStatus.OK, "1 / depth = 7 * disparity + 0 1/m"),
        (Scale(1.0, 0.0, **{**GOOD, "residual": 0.3}), DiagnosticStatus.WARN, "the residual is 30 %"),
        (
            Scale(1.0, 0.0, **GOOD, held=3, age=0.3, reason="nothing came"),
            DiagnosticStatus.WARN,
            "scale of 0.3 s ago: nothing came",
        ),
        (
            Scale(1.0, 0.0, **GOOD, held=9, age=5, stale=True, reason="nothing came"),
            DiagnosticStatus.STALE,
            "depth is stale: nothing came",
        ),
        (None, DiagnosticStatus.ERROR, "no points"),
    ],
)
def test_the_message_says_how_good_a_scale_is(scale: Scale | None, level: bytes, text: str) -> None:
    camera = pinhole()
    depth = None if scale is None else np.ones((240, 320), np.float32)
    frame = Frame(picture(camera), camera, depth, scale=scale, no_metres="" if scale else "no points")
    msg = scale_to_msg(frame, Header(frame_id="lens"))
    assert msg.header.frame_id == "lens" and len(msg.status) == 1
    assert (msg.status[0].level, msg.status[0].message) == (level, text)
    values = {pair.key: pair.value for pair in msg.status[0].values}
    if scale is None:
        assert not values
        return
    assert [*values] == [
        *("source", "scale", "shift", "inliers", "residual", "unexplained", "variation", "age", "held_frames", "stale")
    ]
    numbers = [float(values[key]) for key in ("scale", "shift", "inliers", "variation", "age", "held_frames")]
    expected = (scale.scale, scale.shift, scale.inliers, scale.variation, scale.age, scale.held)
    np.testing.assert_allclose(numbers, expected, rtol=1e-3)


MARKED = Judgement("ERROR", "scale jumped: depth is +12 % off", "scale jumped", True, False, {"scale_change": 0.113})
WITHHELD = replace(MARKED, withheld=True)


@pytest.mark.parametrize(
    ("judgement", "scale", "missing", "names"),
    [
        (MARKED, None, "", ["guard"]),
        (MARKED, Scale(7.0, 0.0), "", ["scale", "guard"]),
        (MARKED, None, "no points", ["scale", "guard"]),
        (WITHHELD, None, "depth is withheld", ["guard"]),
        (WITHHELD, Scale(7.0, 0.0), "depth is withheld", ["scale", "guard"]),
    ],
)
def test_the_message_says_whether_a_frame_can_be_believed(
    judgement: Judgement, scale: Scale | None, missing: str, names: list[str]
) -> None:
    camera = pinhole()
    frame = Frame(picture(camera), camera, scale=scale, no_metres=missing, judgement=judgement)
    statuses = scale_to_msg(frame, Header()).status
    assert [status.name for status in statuses] == names
    guard = statuses[-1]
    assert (guard.level, guard.message) == (DiagnosticStatus.ERROR, judgement.reason)
    assert {pair.key: pair.value for pair in guard.values} == {
        "level": "ERROR",
        "reason": judgement.reason,
        "withheld": str(judgement.withheld).lower(),
        "compared": "true",
        "scale_change": "0.113",
    }


def test_diagnostics_report_the_worst_frame_since_the_last_report() -> None:
    diagnosis, stats = Diagnosis("recon_node", "cpu", "m"), FrameStats()

    def reported() -> list[tuple[bytes, str, dict[str, str]]]:
        statuses = diagnosis.report(stats, Header().stamp, "").status[1:]
        assert all(status.name == "recon_node: guard" for status in statuses)
        return [(s.level, s.message, {pair.key: pair.value for pair in s.values}) for s in statuses]

    assert reported() == []
    noticed = Judgement("WARN", "dark image: ...", "dark image")
    for judgement in (Judgement(), MARKED, WITHHELD, noticed, Judgement()):
        stats.count_judged(judgement)
    ((level, message, values),) = reported()
    assert (level, message) == (DiagnosticStatus.ERROR, MARKED.reason)
    counts = [values[f"frames_{name}"] for name in ("compared", "noticed", "unreliable", "withheld")]
    assert counts == ["2", "1", "2", "1"] and values["withheld"] == "true"
    stats.count_judged(Judgement())
    assert reported()[0][:2] == (DiagnosticStatus.OK, "") and reported() == []


def test_the_state_of_the_node_tells_that_frames_are_withheld() -> None:
    diagnosis, stats = Diagnosis("recon_node", "cpu", "m"), FrameStats()

    def state(judgement: Judgement) -> tuple[bytes, str]:
        stats.count_received(False)
        stats.count_judged(judgement)
        stats.count_published(0.1, {})
        status = diagnosis.report(stats, Header().stamp, "").status[0]
        return status.level, status.message

    assert state(MARKED)[0] == DiagnosticStatus.OK
    assert state(WITHHELD) == (DiagnosticStatus.WARN, "1 of 1 frames withheld: see the status of the guard")
    assert state(Judgement())[0] == DiagnosticStatus.OK


def test_diagnostics_warn_of_a_scale_that_is_stale_or_fits_badly() -> None:
    diagnosis, stats = Diagnosis("recon_node", "cpu", "m"), FrameStats()

    def judged(scale: Scale) -> tuple[bytes, str, dict[str, str]]:
        stats.scale = scale
        stats.count_received(False)
        stats.count_published(0.1, {})
        status = diagnosis.report(stats, Header().stamp, "", PointsScale).status[0]
        return status.level, status.message, {pair.key: pair.value for pair in status.values}

    assert judged(Scale(1.0, 0.0, **GOOD))[0] == DiagnosticStatus.OK
    level, text, values = judged(Scale(1.0, 0.0, **{**GOOD, "inliers": 0.3}))
    assert (level, text) == (DiagnosticStatus.WARN, "only 30 % of the compared pixels agree") and values[
        "scale_reason"
    ] == text
    level, text, values = judged(Scale(1.0, 0.0, **GOOD, held=4, age=3.0, stale=True, reason="nothing came"))
    assert (level, text) == (DiagnosticStatus.WARN, "depth is stale: nothing came")
    assert (values["scale_age_s"], values["scale_stale"], values["scale_residual"]) == ("3.00", "true", "0.0200")


def test_diagnostics_warn_of_a_service_that_takes_long() -> None:
    diagnosis, stats = Diagnosis("recon_node", "cpu", "m"), FrameStats()
    long = "save_mesh has been running for 83 s"
    for overdue, expected in ((long, (DiagnosticStatus.WARN, long)), ("", (DiagnosticStatus.OK, "images come"))):
        status = diagnosis.report(stats, Header().stamp, "", overdue=overdue).status[0]
        assert (status.level, status.message) == expected
        assert {pair.key: pair.value for pair in status.values}["overdue_service"] == overdue
    of_map = MapDiagnosis("recon_node: map", "cpu").status(MapFigures(), long)
    assert (of_map.level, of_map.message) == (DiagnosticStatus.WARN, long)


def test_diagnostics_warn_of_a_guessed_calibration_until_there_is_one() -> None:
    diagnosis, stats = Diagnosis("recon_node", "cpu", "m"), FrameStats()

    def state(guess: str, refused: bool = False) -> tuple[bytes, str, str]:
        stats.count_received(False)
        if refused:
            stats.count_refused("no rgb")
        else:
            stats.count_published(0.1, {})
        status = diagnosis.report(stats, Header().stamp, "", guess=guess).status[0]
        return status.level, status.message, {pair.key: pair.value for pair in status.values}["calibration"]

    guess = "guessed from camera.hfov=60"
    said = f"the camera is {guess}; calibrate it: mono-depth-recon calibrate"
    assert state(guess) == (DiagnosticStatus.WARN, said, guess)
    assert state(guess, refused=True) == (DiagnosticStatus.ERROR, "no rgb", guess)
    level, message, calibration = state("")
    assert (level, calibration) == (DiagnosticStatus.OK, "camera_info") and " Hz, " in message
