"""Training settings: unusable values are refused, and saved settings are read back unchanged."""

import json

import pytest

from model.settings import SettingsError, TrainSettings, choose, validation_cut


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("arch", "vgg"),
        ("loss", "hinge"),
        ("optimizer", "lion"),
        ("metric", "accuracy"),
        ("weights", ""),
        ("epochs", 0),
        ("epochs", True),
        ("batch", -1),
        ("learning_rate", 0.0),
        ("learning_rate", float("nan")),
        ("warmup", 0.9),
        ("seed", -1),
        ("split_seed", -1),
        ("height", 16),
        ("width", 100_000),
        ("dense", (0,)),
        ("dropout", 1.0),
        ("l2", -0.1),
        ("validation_share", 0.0),
        ("target_sensitivity", 1.0),
        ("fixed_specificity", 0.2),
        ("augment", -0.5),
        ("average", 1.0),
        ("head_epochs", 21),
        ("unfrozen", 1000),
        ("patience", "8"),
        ("views", -1),
    ],
)
def test_a_bad_value_is_refused_in_one_line_that_names_it(name: str, value: object) -> None:
    with pytest.raises(SettingsError) as caught:
        TrainSettings(**{name: value})
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_imagenet_weights_are_for_resnet50_only() -> None:
    with pytest.raises(SettingsError, match="resnet50 only"):
        TrainSettings(arch="dag", weights="imagenet")
    assert TrainSettings(arch="resnet50", weights="imagenet").weights == "imagenet"


def test_settings_come_back_from_json_as_they_were() -> None:
    settings = TrainSettings(arch="resnet50", dense=(256, 64), learning_rate=3e-4, mirror=True)
    assert TrainSettings.from_dict(json.loads(json.dumps(settings.to_dict()))) == settings


def test_settings_of_a_run_from_before_there_were_views_have_none() -> None:
    settings = TrainSettings(arch="resnet50")
    earlier = {name: value for name, value in settings.to_dict().items() if name != "views"}
    assert TrainSettings.from_dict(earlier) == settings and settings.views == 0
    assert (choose(arch="resnet50").views, choose(arch="dag").views) == (4, 0)


def test_the_seed_of_a_run_from_before_there_was_one_of_the_split_cut_its_validation_part() -> None:
    settings = choose(seed=9, validation_share=0.2)
    assert (settings.split_seed, validation_cut(settings.to_dict())) == (7, (0.2, 7))
    earlier = {name: value for name, value in settings.to_dict().items() if name != "split_seed"}
    assert TrainSettings.from_dict(earlier).split_seed == 9 and validation_cut(earlier) == (0.2, 9)


@pytest.mark.parametrize("change", [{"momentum": 0.9}, {"seed": None}])
def test_settings_of_another_version_are_refused(change: dict[str, object]) -> None:
    values = {**TrainSettings().to_dict(), **change}
    values = {name: value for name, value in values.items() if value is not None}
    with pytest.raises(SettingsError, match=next(iter(change))):
        TrainSettings.from_dict(values)


def test_defaults_follow_from_architecture_and_optimizer() -> None:
    deep = choose(arch="resnet50", epochs=10)
    assert (deep.height, deep.width, deep.dense, deep.head_epochs) == (224, 224, (256,), 4)
    assert choose().head_epochs == 0
    assert [choose(optimizer=name).learning_rate for name in ("adam", "sgd", "adadelta")] == [1e-3, 1e-2, 1.0]
    assert choose(optimizer="sgd", learning_rate=0.5, height=None).learning_rate == 0.5


def test_pictures_are_not_mirrored_by_default() -> None:
    assert choose().mirror is False


def test_a_missing_weights_file_is_reported_before_training(tmp_path) -> None:
    with pytest.raises(SettingsError, match="no file"):
        choose(weights=str(tmp_path / "none.h5"))
    with pytest.raises(SettingsError, match="choose one of"):
        choose(arch="vgg")
