"""Parameters of several cameras: their names, what each may have of its own, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from mono_depth_recon.cli.parameters import read_params_file
from mono_depth_recon.config import Config, NodeConfig, row_of, with_values
from mono_depth_recon.errors import ConfigError

TWO = {"cameras": "front, left"}


def test_without_names_there_is_one_camera_with_the_general_parameters() -> None:
    config = NodeConfig.of({"filter.max_range": 4.0})
    assert config.general.camera_names == () and list(config.cameras) == [""]
    assert config.cameras[""] is config.general and config.general.filter.max_range == 4.0


@pytest.mark.parametrize("given", ["front,left", " front , left ", ["front", "left"]])
def test_names_are_words_or_a_list(given: object) -> None:
    assert with_values(Config(), {"cameras": given}).camera_names == ("front", "left")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("front,front", "cameras must name each camera once, got 'front' 2 times"),
        ("front,", "cameras must hold names separated by commas, .*, got ''"),
        ("fr ont", "a letter first, got 'fr ont'"),
        ("2nd", "a letter first, got '2nd'"),
        ("a__b", "a letter first, got 'a__b'"),
        ("/front", "a letter first, got '/front'"),
        ("vorn/links", "a letter first, got 'vorn/links'"),
        ("links_ö", "a letter first, got 'links_ö'"),
        ("scale,left", "cameras must not hold 'scale', which other parameters begin with"),
        (["front", 3], "cameras must be of type str"),
    ],
)
def test_names_that_cannot_be_are_one_line(given: object, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as error:
        NodeConfig.of({"cameras": given})
    assert "\n" not in str(error.value)


def test_a_camera_has_its_own_value_or_the_general_one_whichever_changes() -> None:
    config = NodeConfig.of({**TWO, "scale.source": "fixed", "front.scale.source": "reference", "left.max_rate": 5})

    def sources(of: NodeConfig) -> list[str]:
        return [of.cameras[name].scale.source for name in ("front", "left")]

    assert sources(config) == ["reference", "fixed"] and config.cameras["left"].max_rate == 5.0
    later = config.changed({"scale.source": "points"})
    assert sources(later) == ["reference", "points"] and later.value("left.scale.source") == "points"
    assert sources(later.changed({"left.scale.source": "none"})) == ["reference", "none"]
    back = later.changed({"front.scale.source": None})
    assert sources(back) == ["points", "points"] and "front.scale.source" not in back.own
    assert sources(config) == ["reference", "fixed"], "the former one stays as it is"


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"front.model.name": "x"}, "'front.model.name' cannot be set for one camera, only model.name for all"),
        ({"front.fusion.enabled": True}, "cannot be set for one camera"),
        ({"front.scale.sorce": "none"}, "camera front: unknown parameter 'scale.sorce'; did you mean 'scale.source'"),
        ({"front.scale.source": "laser"}, "front.scale.source must be one of none, fixed"),
        ({"front.filter.min_range": 20.0}, r"camera front: filter.min_range \(20 m\) must be below filter.max_range"),
        ({"right.scale.source": "none"}, "unknown parameter 'right.scale.source': cameras does not name 'right'"),
        ({"fusion.enabled": True}, "fusion.enabled with several cameras needs poses in one frame"),
        ({"cameras": "", "left.max_rate": 3.0}, "cameras does not name 'left'"),
    ],
)
def test_what_a_camera_cannot_have_is_one_line(values: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said) as error:
        NodeConfig.of({**TWO, **values})
    assert "\n" not in str(error.value)


def test_a_camera_with_parameters_of_its_own_is_not_dropped() -> None:
    config = NodeConfig.of({**TWO, "left.max_rate": 3.0, "left.filter.border": 2, "front.max_rate": 4.0})
    for names, said in (
        (
            "front",
            "cameras must name 'left' while that camera has parameters of its own, left.filter.border and 1 more",
        ),
        ("left", "cameras must name 'front' while that camera has parameters of its own, front.max_rate: delete them"),
    ):
        with pytest.raises(ConfigError) as refused:
            config.changed({"cameras": names})
        assert str(refused.value).startswith(said) and "(ros2 param delete NODE " in str(refused.value)
    deleted = config.changed({"left.max_rate": None}).changed({"left.filter.border": None})
    assert deleted.changed({"cameras": "front"}).cameras["front"].max_rate == 4.0
    at_once = config.changed({"cameras": "front", "left.max_rate": None, "left.filter.border": None})
    assert at_once.own == {"front.max_rate": 4.0}


def test_with_poses_or_one_camera_fusion_is_possible() -> None:
    assert NodeConfig.of({**TWO, "fusion.enabled": True, "fusion.world_frame": "map"}).general.fusion.enabled
    assert NodeConfig.of({"cameras": "front", "fusion.enabled": True}).general.fusion.enabled


def test_the_row_of_a_camera_says_whose_it_is() -> None:
    row = row_of("front.filter.max_range", ("front",))
    assert (row.name, row.unit, row.high) == ("front.filter.max_range", "m", 1000.0)
    assert row.help.endswith("; of camera front")


def test_other_commands_read_the_same_file_and_leave_out_what_is_for_single_cameras(tmp_path: Path) -> None:
    path = tmp_path / "two.yaml"
    path.write_text(
        "/**: {ros__parameters: {cameras: [front, left], filter: {max_range: 4}, front: {filter: {max_range: 3}}}}"
    )
    assert read_params_file(path) == {"cameras": "front,left", "filter.max_range": 4.0}
    path.write_text("/**: {ros__parameters: {cameras: [front], front: {filter: {max_rang: 3}}}}")
    with pytest.raises(ConfigError, match="unknown parameter 'filter.max_rang'; did you mean 'filter.max_range'"):
        read_params_file(path)
