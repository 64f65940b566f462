from planner_common.settings import Settings
from planner_local.stack import setting_names


def test_settings_are_passed_on_by_their_names() -> None:
    assert setting_names() == {name.upper() for name in Settings.model_fields}
