"""How long a page takes to load in a real browser."""

from playwright.async_api import Page

_LOADED = "performance.getEntriesByType('navigation')[0].loadEventEnd"


async def loaded_s(page: Page, address: str) -> float:
    """What the browser says."""
    await page.goto(address)
    await page.wait_for_function(f"{_LOADED} > 0")

    return float(await page.evaluate(_LOADED)) / 1000
