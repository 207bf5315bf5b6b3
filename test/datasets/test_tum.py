"""The TUM reader: association against the benchmark's rule, made-up folders, bad input, and the real folders."""

from __future__ import annotations

import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest
from made_recordings import HEIGHT, WIDTH, Scene, write_folder

from mono_depth_recon.camera import PinholeCamera
from mono_depth_recon.datasets.tum import TumFolder, associate, camera_of_name, parse_camera
from mono_depth_recon.errors import CalibrationError, ConfigError, DataError

CAMERA = PinholeCamera.from_intrinsics(32, 24, 30.0, 30.0, 15.5, 11.5)


def _folder(path: Path, stamps: tuple[float, ...] = (10.0, 10.1, 10.2), late: float = 0.004) -> Path:
    rng = np.random.default_rng(1)
    (path / "rgb").mkdir(parents=True)
    (path / "depth").mkdir()
    lists: dict[str, list[str]] = {"rgb": ["# colour", "# timestamp filename"], "depth": ["# depth"]}
    for stamp in stamps:
        cv2.imwrite(str(path / f"rgb/{stamp:.4f}.png"), rng.integers(0, 256, (24, 32, 3), np.uint8))
        depth = rng.integers(1, 40000, (24, 32)).astype(np.uint16)
        depth[0, :5] = 0
        cv2.imwrite(str(path / f"depth/{stamp + late:.4f}.png"), depth)
        lists["rgb"].append(f"{stamp:.4f} rgb/{stamp:.4f}.png")
        lists["depth"].append(f"{stamp + late:.4f} depth/{stamp + late:.4f}.png")
    for name, lines in lists.items():
        (path / f"{name}.txt").write_text("\n".join(lines) + "\n")
    return path


def _benchmark_rule(first: list[float], second: list[float], max_difference: float) -> list[tuple[int, int]]:
    candidates = sorted(
        (abs(a - b), a, b, i, j)
        for i, a in enumerate(first)
        for j, b in enumerate(second)
        if abs(a - b) < max_difference
    )
    left, right, pairs = set(range(len(first))), set(range(len(second))), []
    for _, a, _, i, j in candidates:
        if i in left and j in right:
            left.remove(i)
            right.remove(j)
            pairs.append((a, i, j))
    return [(i, j) for _, i, j in sorted(pairs)]


@pytest.mark.parametrize("seed", range(20))
def test_association_is_the_benchmark_rule_on_colliding_stamps(seed: int) -> None:
    rng = np.random.default_rng(seed)
    # a coarse grid makes equal differences and equal stamps; shuffled, as files need not be in order
    first = (1305031229 + rng.permutation(np.round(rng.uniform(0, 1, 60), 2))).tolist()
    second = (1305031229 + rng.permutation(np.round(rng.uniform(0, 1, 45), rng.integers(2, 4)))).tolist()
    assert associate(first, second, 0.02) == _benchmark_rule(first, second, 0.02)


def test_association_takes_the_nearest_first_and_is_strict() -> None:
    assert associate([1.0, 1.015], [1.012], 0.02) == [(1, 0)]
    assert associate([1.0], [1.25], 0.25) == []
    assert associate([], [1.0]) == []


def test_made_up_folder_comes_back(tmp_path: Path) -> None:
    folder = TumFolder(_folder(tmp_path / "desk"), CAMERA)
    assert len(folder) == 3
    assert folder.positions == [0, 1, 2]
    sample = folder[1]
    bgr = cv2.imread(str(tmp_path / "desk/rgb/10.1000.png"))
    raw = cv2.imread(str(tmp_path / "desk/depth/10.1040.png"), cv2.IMREAD_UNCHANGED)
    assert sample.depth is not None
    assert np.array_equal(sample.rgb, bgr[:, :, ::-1])
    assert sample.depth.dtype == np.float32
    assert np.isnan(sample.depth[0, :5]).all()
    assert np.array_equal(sample.depth[1:], (raw[1:] / 5000).astype(np.float32))
    assert (sample.stamp, sample.T_world_camera, sample.camera) == (10.1, None, CAMERA)
    assert [s.stamp for s in folder] == [s.stamp for s in folder[:]] == [10.0, 10.1, 10.2]
    assert folder[-1].stamp == 10.2


def test_positions_are_places_in_the_colour_list(tmp_path: Path) -> None:
    path = _folder(tmp_path / "desk")
    lines = (path / "depth.txt").read_text().splitlines()
    (path / "depth.txt").write_text("\n".join([lines[0], *lines[2:]]))
    assert TumFolder(path, CAMERA).positions == [1, 2]


def test_pose_is_interpolated_between_near_poses(tmp_path: Path) -> None:
    path = _folder(tmp_path / "desk", stamps=(10.005, 10.5, 12.0))
    half = np.sqrt(0.5)
    (path / "groundtruth.txt").write_text(
        f"# stamp tx ty tz qx qy qz qw\n10.00 0 0 0 0 0 0 1\n10.01 1 2 4 0 0 {-half} {-half}\n11.99 5 0 0 0 0 0 1\n"
    )
    near, none, nearest = TumFolder(path, CAMERA)
    angle = np.radians(45)  # half of 90 degrees about z, the short way although the second quaternion is -q
    assert near.T_world_camera is not None
    assert near.T_world_camera[:3, 3] == pytest.approx([0.5, 1, 2])
    turned = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    assert near.T_world_camera[:2, :2] == pytest.approx(np.array(turned))
    assert none.T_world_camera is None  # 10.01 and 11.99 are too far apart
    assert nearest.T_world_camera is not None
    assert nearest.T_world_camera[0, 3] == 5


def test_rectified_samples_lie_on_the_rectified_grid(tmp_path: Path) -> None:
    path = _folder(tmp_path / "desk")
    distorted = PinholeCamera.from_intrinsics(32, 24, 30.0, 30.0, 15.5, 11.5, D=(0.3, 0.0, 0.0, 0.0))
    raw, straight = TumFolder(path, distorted)[0], TumFolder(path, distorted, rectified=True)[0]
    assert raw.camera.is_distorted
    assert straight.camera.is_rectified
    assert raw.depth is not None
    assert straight.depth is not None
    assert np.array_equal(straight.rgb, distorted.rectify(raw.rgb))
    assert np.array_equal(straight.depth, distorted.rectify_depth(raw.depth), equal_nan=True)
    assert not np.array_equal(straight.rgb, raw.rgb)


def test_camera_comes_from_the_name_of_the_folder() -> None:
    camera = camera_of_name("rgbd_dataset_freiburg1_rpy_part")
    assert (camera.size, camera.fx, len(camera.D)) == ((640, 480), 517.306, 5)
    assert not camera_of_name("rgbd_dataset_freiburg3_cabinet").is_distorted
    with pytest.raises(CalibrationError, match=r"--camera 'fx fy cx cy \[k1 k2 p1 p2 \[k3\]\]'"):
        camera_of_name("my_desk")


@pytest.mark.parametrize(
    ("file", "text", "says"),
    [
        ("rgb.txt", "10.0 rgb/10.0000.png more\n", r"rgb\.txt:1: expected 'stamp file', got 3 fields"),
        ("rgb.txt", "# note\nten rgb/10.0000.png\n", r"rgb\.txt:2: expected numbers"),
        ("rgb.txt", "nan rgb/10.0000.png\n", r"rgb\.txt:1: expected finite numbers"),
        ("rgb.txt", "10.0 rgb/none.png\n", r"rgb\.txt:1: names .*none\.png, which is missing"),
        ("depth.txt", "# nothing\n", r"depth\.txt: expected lines"),
        ("depth.txt", "99.0 depth/10.0040.png\n", "no colour image has a depth image within 0.02 s"),
        ("groundtruth.txt", "10.0 0 0 0 0 0 1\n", r"groundtruth\.txt:1: expected 'stamp tx"),
        (
            "groundtruth.txt",
            "10.0 0 0 0 0 0 0 0\n",
            r"groundtruth\.txt: expected lines .* with unit quaternions, got none",
        ),
        ("rgb.txt", "10,0 rgb/10.0000.png\n", r"rgb\.txt:1: expected numbers, got '10,0': write decimal points"),
        ("rgb.txt", "1305031102175304 rgb/10.0000.png\n", r"rgb\.txt:1: a stamp must be in seconds, or in nanosec"),
        ("groundtruth.txt", "10.0 0,5 0 0 0 0 0 1\n", r"groundtruth\.txt:1: .*'0,5': write decimal points"),
    ],
)
def test_malformed_lists_name_file_and_line(tmp_path: Path, file: str, text: str, says: str) -> None:
    path = _folder(tmp_path / "desk")
    (path / file).write_text(text)
    with pytest.raises(DataError, match=says) as caught:
        TumFolder(path, CAMERA)
    assert "\n" not in str(caught.value)


def test_missing_lists_say_what_a_folder_holds(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"rgb\.txt cannot be read .* has rgb\.txt and depth\.txt$"):
        TumFolder(tmp_path, CAMERA)
    (tmp_path / "rgb.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="not UTF-8"):
        TumFolder(tmp_path, CAMERA)


@pytest.mark.parametrize(
    ("file", "image", "says"),
    [
        ("rgb/10.0000.png", np.zeros((12, 32, 3), np.uint8), "expected 32x24 pixels, as the camera has, got 32x12"),
        ("depth/10.0040.png", np.zeros((24, 30), np.uint16), "expected 32x24 pixels, as the camera has, got 30x24"),
        ("depth/10.0040.png", np.ones((24, 32), np.uint8), "one channel of 16 bits .* got uint8"),
        ("depth/10.0040.png", np.ones((24, 32, 3), np.uint16), "one channel of 16 bits .* got uint16 of shape"),
    ],
)
def test_wrong_images_are_named(tmp_path: Path, file: str, image: np.ndarray, says: str) -> None:
    path = _folder(tmp_path / "desk")
    cv2.imwrite(str(path / file), image)
    with pytest.raises(DataError, match=says):
        TumFolder(path, CAMERA)[0]


@pytest.mark.parametrize("file", ["rgb/10.0000.png", "depth/10.0040.png"])
def test_damaged_images_are_named(tmp_path: Path, file: str) -> None:
    path = _folder(tmp_path / "desk")
    (path / file).write_bytes(b"\x89PNG, cut short")
    with pytest.raises(DataError, match=r"cannot be decoded|is not an image that can be read"):
        TumFolder(path, CAMERA)[0]


@pytest.mark.parametrize(
    ("name", "pairs"), [("rgbd_dataset_freiburg1_rpy_part", 141), ("rgbd_dataset_freiburg3_cabinet_keyframes", 58)]
)
def test_the_real_folders(data_folder: Path, name: str, pairs: int) -> None:
    folder = TumFolder(data_folder / "tum" / name, rectified=True)
    assert len(folder) == pairs
    assert folder.positions == list(range(pairs))
    sample = folder[pairs // 2]
    assert sample.depth is not None
    assert sample.T_world_camera is not None
    assert 0.3 < np.nanmin(sample.depth) < np.nanmedian(sample.depth) < 4
    assert np.linalg.det(sample.T_world_camera[:3, :3]) == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("text", ["535.4 539.2 320.1 247.6", "535.4,539.2,320.1,247.6", "535.4, 539.2, 320.1, 247.6"])
def test_a_camera_as_text(text: str) -> None:
    camera = parse_camera(text, (640, 480))
    assert (camera.fx, camera.fy, camera.cx, camera.cy) == (535.4, 539.2, 320.1, 247.6)


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("535,4 539,2 320,1 247,6", ConfigError, "must be numbers with decimal points and spaces between them, got"),
        ("535,4 539 320,1 247", ConfigError, "decimal points"),
        ("535,4; 539,2; 320,1; 247,6", ConfigError, "decimal points"),
        ("5354 5392 3201 2476", CalibrationError, r"K must have its principal point in the image, got \(3201, 2476\)"),
        ("535 4 539 2 320 1 247 6", CalibrationError, "K must have focal lengths .* got fx=535 fy=4"),
        ("1 1 0 0", CalibrationError, "must not be the identity"),
    ],
)
def test_a_camera_that_cannot_be_is_named(text: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message) as caught:
        parse_camera(text, (640, 480))
    assert "\n" not in str(caught.value)


def test_infrared_of_16_bits_keeps_its_brightness(tmp_path: Path) -> None:
    path = write_folder(tmp_path / "desk", Scene())
    for file, largest in zip(sorted((path / "rgb").iterdir()), (300, 4000, 1900, 4000, 900, 4000), strict=True):
        pixels = np.full((HEIGHT, WIDTH), largest, np.uint16)
        pixels[0, 0] = 160
        cv2.imwrite(str(file), pixels)
    desk = TumFolder(path, PinholeCamera.from_hfov(WIDTH, HEIGHT, 60))
    assert [desk[i].rgb[0, 0, 0] for i in range(6)] == [10] * 6
    assert pickle.loads(pickle.dumps(desk)).bits.bits == 12
    assert not desk.notes
    cv2.imwrite(str(desk.files(3)[0]), np.full((HEIGHT, WIDTH), 60_000, np.uint16))
    desk[3]
    (note,) = desk.notes
    assert note.startswith(f"{path}: 16-bit images have values up to 60000: they count as 16 bits from here on")
