"""What an earlier command kept: weaker than all but defaults, and only what it may keep."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

import pytest

from framegate.errors import Refused
from framegate_agent.settings import AgentSettings
from framegate_host.setting_records import KEPT_FILE, Settings
from framegate_host.setting_values import Setting
from framegate_host.settings import Given, resolve


@dataclass(frozen=True, slots=True, kw_only=True)
class Shop(Settings):
    """A shop."""

    PROGRAM: ClassVar[str] = "shop"
    KEPT: ClassVar[tuple[str, ...]] = ("door",)
    state: Annotated[Path, Setting("Folder.")] = Path("/nowhere")
    door: Annotated[str, Setting("Door.")] = "front"
    till: Annotated[str, Setting("Till.")] = "left"


def kept(folder: Path, text: str) -> dict[str, tuple[str, ...]]:
    (folder / KEPT_FILE).write_text(text)
    return {"state": (str(folder),)}


def test_what_was_kept_outdoes_the_default_alone(tmp_path):
    flags = kept(tmp_path, 'door = "back"\n')
    found = resolve(Shop, Given(None, {}, flags))
    assert found.settings().door == "back" and found.settings().till == "left"
    assert str(found.values["door"].origin) == str(tmp_path / KEPT_FILE)
    file = tmp_path / "shop.toml"
    file.write_text('door = "roof"\n')
    assert resolve(Shop, Given(file, {}, flags)).settings().door == "roof"
    environment = {"FRAMEGATE_SHOP_DOOR": "side"}
    assert resolve(Shop, Given(file, environment, flags)).settings().door == "side"
    typed = flags | {"door": ("cellar",)}
    assert resolve(Shop, Given(file, environment, typed)).settings().door == "cellar"


def test_the_folder_may_be_named_anywhere_but_in_itself(tmp_path):
    kept(tmp_path, 'door = "back"\n')
    file = tmp_path / "shop.toml"
    file.write_text(f'state = "{tmp_path}"\n')
    assert resolve(Shop, Given(file)).settings().door == "back"
    assert (
        resolve(Shop, Given(None, {"FRAMEGATE_SHOP_STATE": str(tmp_path)})).settings().door
        == "back"
    )
    assert resolve(Shop, Given()).settings().door == "front"


@pytest.mark.parametrize(
    "text",
    ['till = "right"', 'state = "/elsewhere"', "nonsense = 1", "door = 7", "door = [", "\xff"],
)
def test_what_may_not_be_kept_is_a_fault(tmp_path, text):
    with pytest.raises(Refused):
        resolve(Shop, Given(None, {}, kept(tmp_path, text))).settings()


def test_a_source_is_never_kept_for_an_agent(tmp_path):
    """Whoever could write there would choose what program takes its pictures."""
    flags = kept(tmp_path, 'source = ["exec:/tmp/x"]\n')
    with pytest.raises(Refused):
        resolve(AgentSettings, Given(None, {}, flags)).settings()
    assert set(AgentSettings.KEPT) == {"tcti", "boot_log", "ima"}
