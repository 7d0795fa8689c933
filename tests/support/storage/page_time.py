"""How long a page takes to load in a real browser."""

from dataclasses import dataclass

from playwright.async_api import Page

_LOADED = "performance.getEntriesByType('navigation')[0].loadEventEnd"


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """What the browser says. processor_s: of the page's own thread, which says something on a busy
    machine too."""

    wall_s: float
    processor_s: float


async def loaded(page: Page, address: str) -> Loaded:
    """Open the page."""
    devtools = await page.context.new_cdp_session(page)
    await devtools.send("Performance.enable", {"timeDomain": "threadTicks"})
    await page.goto(address)
    await page.wait_for_function(f"{_LOADED} > 0")
    found = await devtools.send("Performance.getMetrics")
    await devtools.detach()
    metrics = {metric["name"]: metric["value"] for metric in found["metrics"]}

    return Loaded(wall_s=await page.evaluate(_LOADED) / 1000, processor_s=metrics["TaskDuration"])
