"""File names are cleaned before they are used."""

import pytest

from webapp.api.intake import clean_name


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("chest.png", "chest.png"),
        ("../../etc/passwd", "passwd"),
        ("C:\\films\\Meier 1.dcm", "Meier 1.dcm"),
        ("/", "unnamed"),
        ("", "unnamed"),
        (None, "unnamed"),
        (" \t\r\n ", "unnamed"),
        ("a\r\nSet-Cookie: b=1.png", "a Set-Cookie: b=1.png"),
        ("a\x00b\x1b[31mc.png", "ab[31mc.png"),
        ("gnp.\u202egpj.exe", "gnp.gpj.exe"),
        ("zero\u200bwidth.png", "zerowidth.png"),
        ("Ro\u0308ntgen.png", "Röntgen.png"),
        ("胸部.png", "胸部.png"),
        ("<script>alert(1)</script>.png", "script>.png"),
        ("<img src=x onerror=alert(1)>.png", "<img src=x onerror=alert(1)>.png"),
        ("a\udcffb.png", "ab.png"),
    ],
)
def test_clean_name(name, expected):
    assert clean_name(name) == expected


def test_a_long_name_keeps_its_end():
    name = clean_name("x" * 5000 + "-007.dcm")
    assert len(name) == 120
    assert name.endswith("-007.dcm")


def test_cleaning_twice_changes_nothing():
    for name in ("a  b.png", "x" * 119 + " y.png", "../.."):
        assert clean_name(clean_name(name)) == clean_name(name)
