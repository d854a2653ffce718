"""What axe-core finds against WCAG 2.2 AA in a page of a real browser."""

from axe_playwright_python.base import AXE_FILE_PATH

AXE = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}


async def violations(page) -> list[str]:
    """Every violation of the page as it is now. The page's own policy bars scripts, so that it is
    evaluated as a debugger does.
    """
    await page.evaluate(AXE_FILE_PATH.read_text())
    result = await page.evaluate("(options) => axe.run(document, options)", AXE)
    return [
        f"{v['id']}: {n['html'][:160]} {n['failureSummary'][:200]}"
        for v in result["violations"]
        for n in v["nodes"]
    ]
