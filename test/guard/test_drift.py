"""Jumps, flicker and changed structure, in walks of exact depth through a textured box."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
import pytest
from made_walks import CAMERA, Board, pose, view

from mono_depth_recon.arrays import Depth, Matrix, Rgb
from mono_depth_recon.config import GuardConfig
from mono_depth_recon.frames import Judgement
from mono_depth_recon.guard.comparison import Change
from mono_depth_recon.guard.drift import Drift
from mono_depth_recon.guard.guard import Guard
from mono_depth_recon.guard.motion import Motion, fit_motion

LIMITS = GuardConfig()
RATE = 15.0
WALKS: dict[str, Callable[[int], Matrix]] = {
    "still": lambda i: pose(),
    "forward": lambda i: pose(z=0.1 * i - 0.8),
    "sideways": lambda i: pose(x=0.06 * i - 0.5),
    "turning": lambda i: pose(yaw_deg=3.0 * i),
    "all": lambda i: pose(0.03 * i, -0.02 * i, -0.08 * i, -2.0 * i),
}


def judged(
    frames: Iterable[tuple[Rgb, Depth]], guard: Guard | None = None, limits: GuardConfig = LIMITS, start: float = 0.0
) -> list[Judgement]:
    guard = guard or Guard()
    return [guard.judge(rgb, depth, CAMERA, start + i / RATE, limits)[0] for i, (rgb, depth) in enumerate(frames)]


def walk(name: str, count: int = 8, factors: dict[int, float] | None = None) -> list[tuple[Rgb, Depth]]:
    """Frames of a walk; the depth from frame k on is multiplied by factors[k]."""
    made, factor = [], np.float32(1)
    for i in range(count):
        factor = np.float32((factors or {}).get(i, factor))
        rgb, depth = seen(name, i)
        made.append((rgb, depth * factor))
    return made


@lru_cache(maxsize=64)
def seen(name: str, i: int) -> tuple[Rgb, Depth]:
    return view(WALKS[name](i))


@pytest.mark.parametrize("name", WALKS)
def test_motion_is_no_change_of_scale(name: str) -> None:
    """Also where the camera comes 0.1 m nearer from frame to frame, 3 % to 5 % of the distance."""
    results = judged(walk(name))
    assert not results[0].compared and all(result.compared for result in results[1:])
    assert max(abs(result.figures["scale_change"]) for result in results[1:]) < 0.005
    assert {result.level for result in results} == {"OK"} and not any(result.reason for result in results)


@pytest.mark.parametrize("name", WALKS)
@pytest.mark.parametrize("factor", [1.1, 0.9, 1 / 1.1])
def test_a_jump_is_flagged_at_once_until_it_has_lasted(name: str, factor: float) -> None:
    levels = [result.level for result in judged(walk(name, factors={4: factor}))]
    assert levels == ["OK"] * 4 + ["ERROR"] * 2 + ["OK"] * 2, "the third frame in a row makes it the valid scale"


def test_a_single_bad_frame_does_not_make_the_next_good_one_bad() -> None:
    results = judged(walk("all", factors={4: 1.25, 5: 1.0}))
    assert [result.level for result in results] == ["OK"] * 4 + ["ERROR"] + ["OK"] * 3
    assert results[4].reason == "scale jumped: depth is +25 % off that of the frames before"
    assert results[4].kind == "scale jumped"


def test_scales_that_do_not_agree_with_each_other_never_become_valid() -> None:
    results = judged(walk("still", factors={3: 1.2, 4: 0.8, 5: 1.5, 6: 0.6, 7: 1.2}))
    assert [result.level for result in results[3:]] == ["ERROR"] * 5


def test_the_same_change_without_motion_is_a_jump() -> None:
    """Depth that shrinks as if the camera came nearer, in an image that does not grow."""
    (rgb, _), (_, nearer) = view(pose(z=0)), view(pose(z=0.5))
    assert judged([view(pose()), (rgb, nearer)])[1].kind == "scale jumped"
    assert judged([view(pose()), view(pose(z=0.5))])[1].level == "OK"


def test_things_that_move_by_themselves_are_left_out() -> None:
    """A board that fills a quarter of the image comes 0.12 m nearer from frame to frame."""
    frames = [view(pose(x=0.02 * i), [Board((0.3, 0.0, 2.0 - 0.12 * i), 0.5)]) for i in range(8)]
    seen = [np.mean(depth < 2.1 - 0.12 * i) for i, (_, depth) in enumerate(frames)]
    assert 0.05 < seen[0] < seen[-1] and seen[-1] > 0.2
    results = judged(frames)
    assert all(result.compared and result.level == "OK" for result in results[1:]), [r.reason for r in results]
    assert max(abs(result.figures["scale_change"]) for result in results[1:]) < 0.01


def test_another_scene_is_unknown_and_no_jump() -> None:
    first, other = [view(pose()) for _ in range(3)], [view(pose(yaw_deg=170), seed=7) for _ in range(3)]
    other = [(rgb, depth * np.float32(1.5)) for rgb, depth in other]
    results = judged(first + other)
    assert [result.compared for result in results] == [False, True, True, False, True, True]
    assert {result.level for result in results} == {"OK"}


def test_nothing_to_track_is_unknown() -> None:
    rgb = np.full((CAMERA.height, CAMERA.width, 3), 120, np.uint8)
    depth = view(pose())[1]
    assert [result.compared for result in judged([(rgb, depth), (rgb, 2 * depth)])] == [False, False]


def test_unknown_depth_is_left_out() -> None:
    holes = [(rgb, depth.copy()) for rgb, depth in walk("all", factors={4: 1.1})]
    for _, depth in holes:
        depth[:, ::40], depth[::40] = np.nan, np.inf
    assert [result.level for result in judged(holes)] == ["OK"] * 4 + ["ERROR"] * 2 + ["OK"] * 2
    nothing = [(rgb, np.full_like(depth, np.nan)) for rgb, depth in walk("still", 3)]
    assert not any(result.compared for result in judged(nothing))


def test_a_gap_is_not_bridged_and_time_that_goes_back_begins_anew() -> None:
    guard, frames = Guard(), walk("still", 2)
    doubled = [(rgb, 2 * depth) for rgb, depth in frames]
    assert judged(frames, guard)[1].compared
    after_gap = judged(doubled, guard, start=10.0)
    assert [result.compared for result in after_gap] == [False, True] and after_gap[1].level == "OK"
    back = judged(frames, guard, start=2.0)
    assert [result.compared for result in back] == [False, True] and back[1].level == "OK"
    always = judged(doubled, guard, GuardConfig(max_gap=0.0), start=100.0)
    assert always[0].compared and always[0].level == "ERROR"


def test_a_frame_may_be_judged_again_and_a_late_one_changes_nothing() -> None:
    guard, frames = Guard(), walk("forward", 5, factors={3: 1.2, 4: 1.0})
    first = judged(frames[:4], guard)[-1]
    again = guard.judge(*frames[3], CAMERA, 3 / RATE, LIMITS)[0]
    assert first.level == again.level == "ERROR" and first.figures == again.figures
    assert guard.judge(*frames[0], CAMERA, 0.0, LIMITS)[0].compared, "late: judged"
    last = guard.judge(*frames[4], CAMERA, 4 / RATE, LIMITS)[0]
    assert last.level == "OK" and last.figures["scale_change"] == pytest.approx(math.log(1 / 1.2), abs=0.005)


@pytest.mark.parametrize(("share", "level"), [(0.01, "OK"), (0.02, "WARN"), (0.05, "ERROR")])
def test_flicker_is_reported_by_its_size(share: float, level: str) -> None:
    """Every second frame is nearer, every other one farther by that share."""
    result = judged(walk("still", 14, {i: 1 + share * (-1) ** i for i in range(14)}))[-1]
    assert result.figures["scale_noise"] == pytest.approx(2 * share * 1.4826, rel=0.1)
    assert result.level == level and ("scale flickers by" in result.reason) == (level != "OK")


def test_structure_that_flickers_is_reported() -> None:
    rng = np.random.default_rng(2)
    frames = [
        (rgb, depth * np.exp(0.1 / math.sqrt(2) * rng.normal(size=(12, 16)).repeat(20, 0).repeat(20, 1)))
        for rgb, depth in walk("still", 12)
    ]
    last = judged([(rgb, depth.astype(np.float32)) for rgb, depth in frames])[-1]
    assert "structure flickers by" in last.reason and last.figures["structure_noise"] == pytest.approx(0.1, rel=0.3)


def test_structure_that_changes_without_motion_is_unreliable() -> None:
    frames = walk("all", 6)
    frames[4][1][:, :140] *= np.float32(1.4)
    results = judged(frames)
    assert [result.level for result in results] == ["OK"] * 4 + ["ERROR"] * 2, "it changes and changes back"
    assert results[4].kind == "structure changed" and results[4].figures["structure_changed"] > 0.3


@pytest.mark.parametrize("name", ["max_jump", "max_flicker", "max_change"])
def test_a_limit_of_zero_is_off(name: str) -> None:
    """The only limit that such a walk exceeds says nothing at 0, and something at its default."""
    factors = {"max_jump": {6: 1.5}, "max_flicker": {i: 1 + 0.05 * (-1) ** i for i in range(14)}, "max_change": {}}
    frames = walk("still", 14, factors[name])
    if name == "max_change":
        frames[4][1][:, :140] *= np.float32(1.4)
    default: dict[str, Any] = {name: getattr(LIMITS, name)}
    off: dict[str, Any] = dict.fromkeys(factors, 0.0)
    assert any(result.level != "OK" for result in judged(frames, limits=replace(LIMITS, **off | default)))
    results = judged(frames, limits=replace(LIMITS, **off))
    assert all(result.level == "OK" for result in results), [result.reason for result in results]


def change(scale: float) -> Change:
    return Change(Motion(np.eye(3), np.zeros(3), np.ones(1, bool)), scale, 0.0, 0.0, 100)


def test_a_jump_is_measured_against_the_noise_of_the_sequence() -> None:
    """The same 12 % are a jump where the scale is quiet and none where it differs by 5 % from frame to frame."""
    noisy, quiet = Drift(), Drift()
    for number in np.random.default_rng(0).normal(0, 0.05, 30):
        noisy = noisy.followed_by(change(float(number)), LIMITS)[0]
        quiet = quiet.followed_by(change(0.01 * float(number)), LIMITS)[0]
    assert noisy.noise == pytest.approx(0.05, rel=0.4) and quiet.limit(LIMITS) == pytest.approx(math.log(1.07))
    noisy = replace(noisy, changes=(0.05, -0.05) * 15)
    noisy, quiet = noisy.interrupted(), quiet.interrupted()
    assert [remark.kind for remark in quiet.followed_by(change(0.12), LIMITS)[1]] == ["scale jumped"]
    assert "scale jumped" not in [remark.kind for remark in noisy.followed_by(change(0.12), LIMITS)[1]]


def test_slow_drift_is_no_jump() -> None:
    drift = Drift()
    for _ in range(40):
        drift, remarks = drift.followed_by(change(0.02), LIMITS)
        assert not remarks


def test_the_fit_of_the_motion_is_exact_with_a_third_of_wrong_corners() -> None:
    rng = np.random.default_rng(3)
    before = rng.uniform((0, 0), CAMERA.size, (150, 2)).astype(np.float32)
    depth = rng.uniform(1, 6, 150).astype(np.float32)
    T = np.linalg.inv(pose(0.1, -0.05, 0.2, 4.0))
    rays = np.column_stack([(before - (CAMERA.cx, CAMERA.cy)) / (CAMERA.fx, CAMERA.fy), np.ones(150)])
    moved = (rays * depth[:, None]) @ T[:3, :3].T + T[:3, 3]
    after = (moved[:, :2] / moved[:, 2:] * (CAMERA.fx, CAMERA.fy) + (CAMERA.cx, CAMERA.cy)).astype(np.float32)
    after[:50] += rng.uniform(5, 25, (50, 2)).astype(np.float32)
    motion = fit_motion(before, after, depth, CAMERA)
    np.testing.assert_allclose(motion.depth(before, depth, CAMERA)[50:], moved[50:, 2], rtol=0.01)
    assert motion.agree[50:].all() and motion.agree[:50].sum() < 5
