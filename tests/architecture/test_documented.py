"""What the documents say is what the code has."""

from __future__ import annotations

from scripts.build_settings_page import PAGE, page


def test_every_setting_is_documented_with_its_default() -> None:
    assert PAGE.read_text() == page(), "run scripts/build_settings_page.py"
