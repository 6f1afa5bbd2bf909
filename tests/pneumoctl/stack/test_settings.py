"""Settings: precedence, types, refusals."""

import tomllib
from dataclasses import fields
from pathlib import Path

import pytest

from pneumoctl.errors import Exit, PneumoError
from pneumoctl.stack import settings


def test_flags_win_over_environment_over_file_over_defaults(tmp_path: Path) -> None:
    file = tmp_path / "pneumo.toml"
    file.write_text('stack = "file"\nui_port = 1111\napi_port = 2222\n')
    environ = {"PNEUMO_STACK": "env", "PNEUMO_UI_PORT": "3333", "HOME": "/"}

    got = settings.load({"stack": "flag", "target": None}, file, environ)

    assert (got.stack, got.ui_port, got.api_port, got.redis_port) == ("flag", 3333, 2222, 6379)


@pytest.mark.parametrize(
    ("environ", "says"),
    [
        ({"PNEUMO_UI_PROT": "1"}, "did you mean ui_port"),
        ({"PNEUMO_ZZZ": "1"}, "known settings"),
        ({"PNEUMO_UI_PORT": "http"}, "ui_port"),
        ({"PNEUMO_UI_PORT": "70000"}, "65535"),
        ({"PNEUMO_UI_PORT": "-1"}, "ui_port"),
        ({"PNEUMO_STACK": "../evil"}, "stack"),
        ({"PNEUMO_STACK": ""}, "stack"),
        ({"PNEUMO_TARGET": "azure"}, "local or aws"),
        ({"PNEUMO_WORKERS": "65"}, "workers"),
        ({"PNEUMO_OPERATOR_CIDR": "0.0.0.0/0"}, "one public IPv4"),
        ({"PNEUMO_OPERATOR_CIDR": "203.0.113.7"}, "one public IPv4"),
        ({"PNEUMO_WEB_COUNT": "0"}, "web_count"),
        ({"PNEUMO_APP_COUNT": "51"}, "app_count"),
        *(({"PNEUMO_BATCH": batch}, "batch") for batch in ("0", "0%", "101%", "51", "-1", "a half", "5 %", "")),
        ({"PNEUMO_GPU_TYPE": "big"}, "an EC2 type"),
        ({"PNEUMO_GPU_HOST": "1"}, "true or false"),
        ({"PNEUMO_BUCKET": "Not A Bucket"}, "a bucket"),
        ({"PNEUMO_MAX_UPLOAD_MB": "0"}, "max_upload_mb"),
        ({"PNEUMO_OUTSIDE_USE": "guess"}, "outside_use"),
        ({"PNEUMO_RETENTION_DAYS": "40000"}, "0 to 36500"),
    ],
)
def test_a_bad_value_is_a_usage_error_that_names_it(environ: dict[str, str], says: str) -> None:
    with pytest.raises(PneumoError) as caught:
        settings.load({}, None, environ)
    said = f"{caught.value.message} {caught.value.hint}"
    assert says in said or f"PNEUMO_{says.upper()}" in said
    assert caught.value.code == Exit.USAGE


def test_a_bad_value_is_named_as_it_was_written(tmp_path: Path) -> None:
    file = tmp_path / "pneumo.toml"
    file.write_text('batch = "0"\n')
    for flags, environ, message in (
        ({"batch": "0%"}, {"PNEUMO_BATCH": "51"}, "--batch is '0%'; it must be 1 to 50, or 1% to 100%"),
        ({"offline_bundle": 5}, {}, "--offline-bundle must be text, not 5"),
        ({}, {"PNEUMO_BATCH": "51"}, "PNEUMO_BATCH is '51'; it must be 1 to 50, or 1% to 100%"),
        ({}, {}, f"the setting batch in {file} is '0'; it must be 1 to 50, or 1% to 100%"),
        (
            {"batch": "1"},
            {"PNEUMO_ACME_EMAIL": "a@b"},
            "the setting domain is ''; it must be given with acme_email, as the name in the certificate",
        ),
    ):
        with pytest.raises(PneumoError) as caught:
            settings.load(flags, file, environ)
        assert caught.value.message == message


@pytest.mark.parametrize(
    "text", ["stack = ", 'ui_port = "8080"\n', "ui_port = true\n", "workers = -1\n", "[stack]\nname = 1\n"]
)
def test_a_bad_file_is_a_usage_error(tmp_path: Path, text: str) -> None:
    file = tmp_path / "pneumo.toml"
    file.write_text(text)
    if text.startswith('ui_port = "'):  # digits in quotes are meant well
        assert settings.load({}, file, {}).ui_port == 8080
        return
    with pytest.raises(PneumoError) as caught:
        settings.load({}, file, {})
    assert caught.value.code == Exit.USAGE


@pytest.mark.parametrize("content", [b"", b"\n", b"\0" * 9, b"\xff\xfe", b"stack = ", None])
def test_a_damaged_file_is_not_taken_for_the_defaults(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "pneumo.toml"
    file.mkdir() if content is None else file.write_bytes(content)
    with pytest.raises(PneumoError, match=r"pneumo\.toml cannot be read") as caught:
        settings.load({}, file, {})
    assert "move it away" in caught.value.hint and caught.value.code == Exit.USAGE
    assert settings.load({}, Path("/dev/null"), {}) == settings.Settings()


def test_a_named_file_must_exist(tmp_path: Path) -> None:
    with pytest.raises(PneumoError, match="no settings file"):
        settings.load({}, tmp_path / "absent.toml", {})


def test_true_and_false_are_read_from_a_variable() -> None:
    assert settings.load({}, None, {"PNEUMO_GPU_HOST": "true"}).gpu_host is True


def test_a_template_for_aws_says_so(tmp_path: Path) -> None:
    file = tmp_path / "pneumo.toml"
    file.write_text(settings.template("aws"))
    assert settings.load({}, file, {}) == settings.Settings(target="aws")


def test_names_that_tests_and_children_use_are_no_settings() -> None:
    assert settings.load({}, None, dict.fromkeys(settings.RESERVED, "x")) == settings.Settings()


def test_the_template_has_every_setting_and_means_the_defaults(tmp_path: Path) -> None:
    file = tmp_path / "pneumo.toml"
    file.write_text(settings.template())
    assert settings.load({}, file, {}) == settings.Settings()

    uncommented = "\n".join(line.removeprefix("#") for line in settings.template().splitlines() if line[:2] != "# ")
    assert set(tomllib.loads(uncommented)) == {field.name for field in fields(settings.Settings)}


def test_every_number_says_which_values_are_allowed() -> None:
    unchecked = [each.name for each in fields(settings.Settings) if each.type is int and not each.metadata["checks"]]
    assert unchecked == []
