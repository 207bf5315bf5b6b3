"""The table of parameters: ranges, messages, YAML and Markdown from one source."""

from __future__ import annotations

import dataclasses
import itertools
import math

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from processes import ROOT
from properties import QUICK

from mono_depth_recon.config import (
    PARAMETERS,
    Config,
    FilterConfig,
    NodeConfig,
    Parameter,
    build,
    parameter,
    parse_yaml,
    table_text,
    value_of,
    with_values,
    yaml_text,
)
from mono_depth_recon.errors import ConfigError

YAML = ROOT / "config" / "recon.yaml"
NUMBERS = [row for row in PARAMETERS.values() if row.low is not None]
CHOICES = [row for row in PARAMETERS.values() if row.choices]


def name_of(row: Parameter) -> str:
    return row.name


def flat(tree: dict[str, object], prefix: str = "") -> dict[str, object]:
    values: dict[str, object] = {}
    for key, value in tree.items():
        values |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return values


def test_the_yaml_file_is_the_table() -> None:
    assert YAML.read_text(encoding="utf-8") == yaml_text()


def test_the_yaml_file_parses_back_to_the_defaults() -> None:
    values = flat(yaml.safe_load(yaml_text())["/**"]["ros__parameters"])
    assert values == {name: row.default for name, row in PARAMETERS.items()}
    assert [type(value) for value in values.values()] == [row.type for row in PARAMETERS.values()]  # ROS is strict
    assert with_values(Config(), values) == Config()


def test_every_parameter_has_a_comment_in_the_yaml_and_a_row_in_the_table() -> None:
    lines, table = yaml_text().splitlines(), table_text().splitlines()
    assert len(table) == 2 + len(PARAMETERS)
    for row, text in zip(PARAMETERS.values(), table[2:], strict=True):
        assert row.help
        assert text.startswith(f"| `{row.name}` |")
        assert text.replace("\\|", "").count("|") == 6, "five columns"
        key = row.name.rpartition(".")[2]
        assert any(
            after.strip().startswith(f"{key}: ") and before.strip().startswith(f"# {row.help}")
            for before, after in itertools.pairwise(lines)
        )


def test_every_field_of_the_dataclasses_is_a_parameter() -> None:
    assert flat(dataclasses.asdict(Config())) == {name: row.default for name, row in PARAMETERS.items()}
    assert all(value_of(Config(), name) == row.default for name, row in PARAMETERS.items())


@pytest.mark.parametrize("row", NUMBERS, ids=name_of)
def test_numbers_are_checked_at_both_ends_of_their_range(row: Parameter) -> None:
    assert row.low is not None
    assert row.high is not None
    step = 1 if row.type is int else 1e-9 * max(1.0, abs(row.high))
    for inside in (row.low, row.high):
        assert row.check(row.type(inside)) == inside
    for outside in (row.low - step, row.high + step):
        with pytest.raises(ConfigError, match=f"{row.name} must be .* to .*, got "):
            row.check(row.type(outside))


@pytest.mark.parametrize("row", [row for row in NUMBERS if row.type is float], ids=name_of)
def test_a_float_must_be_finite_and_may_be_given_as_a_whole_number(row: Parameter) -> None:
    for value in (math.nan, math.inf, -math.inf):
        with pytest.raises(ConfigError, match=row.name):
            row.check(value)
    assert row.high is not None
    assert type(row.check(int(row.high))) is float


@pytest.mark.parametrize("row", CHOICES, ids=name_of)
def test_choices(row: Parameter) -> None:
    assert [row.check(choice) for choice in row.choices] == list(row.choices)
    wrong = row.choices[0] + "x"
    with pytest.raises(ConfigError, match=f"{row.name} must be one of {row.choices[0]}, .*got '{wrong}'; did you mean"):
        row.check(wrong)


@pytest.mark.parametrize("row", PARAMETERS.values(), ids=name_of)
def test_the_default_is_valid_and_another_type_is_not(row: Parameter) -> None:
    assert row.check(row.default) == row.default
    for wrong in (None, [1], "text" if row.type is not str else 1, True if row.type is not bool else 1):
        with pytest.raises(ConfigError, match=f"{row.name} must be of type {row.type.__name__}, got"):
            row.check(wrong)


@pytest.mark.parametrize(
    ("name", "meant"), [("mesh.metod", "mesh.method"), ("modell.name", "model.name"), ("max_rat", "max_rate")]
)
def test_an_unknown_name_is_refused_with_the_nearest(name: str, meant: str) -> None:
    with pytest.raises(ConfigError, match=f"unknown parameter '{name}'; did you mean '{meant}'"):
        with_values(Config(), {name: 1})
    with pytest.raises(ConfigError, match="unknown parameter 'zzzzzz'$"):
        parameter("zzzzzz")


def test_values_go_into_a_copy() -> None:
    config = Config()
    changed = with_values(config, {"mesh.method": "grid", "max_rate": 5, "filter.min_range": 0.5})
    assert config == Config()
    assert (changed.mesh.method, changed.max_rate, changed.filter.min_range) == ("grid", 5.0, 0.5)
    assert value_of(changed, "mesh.method") == "grid"
    assert dataclasses.replace(changed, mesh=config.mesh, max_rate=0.0, filter=config.filter) == config


def values_of(row: Parameter) -> st.SearchStrategy[object]:
    """Valid values of a parameter, as far as it alone decides."""
    if row.choices:
        return st.sampled_from(row.choices)
    if row.type is bool:
        return st.booleans()
    if row.type is str:
        return st.text(max_size=12)
    if row.type is int:
        return st.integers(int(row.low or 0), int(row.high or 0))
    return st.one_of(st.floats(row.low, row.high), st.just(math.ceil(row.low or 0.0)))


@settings(QUICK, max_examples=15)
@given(st.data(), st.lists(st.sampled_from(list(PARAMETERS.values())), min_size=1, max_size=6, unique=True))
def test_settings_come_back_from_yaml(data: st.DataObject, rows: list[Parameter]) -> None:
    """As a file of parameters: what can be set at once is the same after YAML, what cannot is refused there as well."""
    values = {row.name: data.draw(values_of(row), row.name) for row in rows}
    tree: dict[str, object] = {}
    for name, value in values.items():
        group, _, key = name.rpartition(".")
        (tree.setdefault(group, {}) if group else tree)[key] = value  # type: ignore[index]
    parsed = parse_yaml(yaml.safe_dump(tree, allow_unicode=True), "settings")
    assert flat(parsed) == values
    try:
        config = with_values(Config(), values)
    except ConfigError as error:
        assert "\n" not in str(error)
        with pytest.raises(ConfigError):
            build(Config, parsed)
    else:
        assert build(Config, parsed) == config
        assert {name: value_of(config, name) for name in values} == values


def test_the_range_must_not_be_empty_and_both_ends_may_move_together() -> None:
    with pytest.raises(ConfigError, match=r"filter.min_range \(12 m\) must be below filter.max_range \(10 m\)"):
        with_values(Config(), {"filter.min_range": 12.0})
    moved = with_values(Config(), {"filter.min_range": 12.0, "filter.max_range": 20.0})
    assert moved.filter == dataclasses.replace(FilterConfig(), min_range=12.0, max_range=20.0)


def test_the_height_band_and_the_frame_of_obstacles_must_be_possible() -> None:
    with pytest.raises(ConfigError, match=r"safe.min_height \(2 m\) must be below safe.max_height \(2 m\)"):
        with_values(Config(), {"safe.min_height": 2.0})
    for name in ("", "/"):
        with pytest.raises(ConfigError, match="safe.base_frame must be the name of a frame"):
            with_values(Config(), {"safe.base_frame": name})


def test_a_config_cannot_be_changed_in_place() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Config().mesh.method = "grid"  # type: ignore[misc]


def test_a_field_of_view_is_off_or_one_of_a_camera_and_may_be_a_camera_s_own() -> None:
    for hfov in (0.5, -1.0, 171.0):
        with pytest.raises(ConfigError, match=r"camera\.hfov must be (0 \(off\) or 1|0) to 170 deg"):
            with_values(Config(), {"camera.hfov": hfov})
    node = NodeConfig.of({"cameras": "front,left", "camera.hfov": 60.0, "left.camera.hfov": 90.0})
    assert [node.cameras[name].camera.hfov for name in ("front", "left")] == [60, 90]
