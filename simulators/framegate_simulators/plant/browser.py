"""A real browser without a screen, for whoever looks at the console as people do."""

from __future__ import annotations

from typing import Any, Final

from playwright.sync_api import Browser

ARGUMENTS: Final = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--force-color-profile=srgb",
)


def chromium(playwright: Any, **more: Any) -> Browser:
    """Debian's Chromium, without a screen."""
    launched: Browser = playwright.chromium.launch(
        executable_path="/usr/bin/chromium", headless=True, args=[*ARGUMENTS], **more
    )
    return launched
