"""`python -m setactions.devtools.screenshots [FOLDER]`: the pictures of README and docs; to docs/screenshots.

It starts a site of its own with made-up data and a simulated TMS, does in a browser what the pictures show, and takes
each at two widths, light and dark: NAME.png, NAME-dark.png, NAME-390.png, NAME-390-dark.png. Times differ from run to
run; names and customers do not. It needs Chromium and what requirements-dev.lock installs. TMS_PORT (9000) is shown.
"""

import os
import re
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from setactions.devtools.proofs.site import BASE_DIR, ProofError, Server, Site
from tmsdash import startup

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

    from setactions.devtools.simulator import Simulator

FOLDER = BASE_DIR / "docs" / "screenshots"
SIZES = {1280: 800, 390: 844}
THEMES = ("light", "dark")
PICTURES = ("new-action", "attempt", "review", "unknown", "batch", "activity", "user-jobs-audit", "attempt-events")
JOBS = 400
NAMES = ("brooke", "calder", "derwent", "esk")  # of the clusters of the made-up data
TOKEN = "a-token-that-the-simulator-takes"  # noqa: S105 (the simulator takes any)
PATIENCE_MS = 30_000
SETTINGS = {
    "TMS_PRODUCTION_CLUSTERS": "evian3",
    "TMS_MAX_CIDS_PER_CALL": 20,
    "TMS_BATCH_CHUNK": 5,
    "TMS_BATCH_CALLS": 2,
    "TMS_DEADLINE_S": 30,
    "TMS_OPEN_AFTER_S": 60,
    "WEB_WORKERS": 1,
}


class Camera:
    """Takes what a page shows, in every size and theme."""

    def __init__(self, folder: Path, sizes: dict[int, int], themes: Sequence[str]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._sizes, self._themes = folder, sizes, themes

    def take(self, page: "Page", name: str) -> None:
        """Write the pictures of the page as it stands, from its top."""
        for width, height in self._sizes.items():
            page.set_viewport_size({"width": width, "height": height})
            for theme in self._themes:
                page.emulate_media(color_scheme="dark" if theme == "dark" else "light")
                page.evaluate("document.activeElement?.blur(); scrollTo(0, 0)")
                suffix = ("" if width == 1280 else f"-{width}") + ("-dark" if theme == "dark" else "")
                page.screenshot(path=self._folder / f"{name}{suffix}.png", animations="disabled")
        page.set_viewport_size({"width": 1280, "height": SIZES[1280]})


def main(folder: Path = FOLDER) -> None:
    """Take all pictures; a reason why that is not possible is one sentence on standard error and exit code 1."""
    startup.begin("demo")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        sys.exit("Screenshots need what requirements-dev.lock installs: make .venv/installed-dev")
    chromium = shutil.which("chromium")
    if not chromium:
        sys.exit("Screenshots need Chromium (Debian: apt-get install chromium).")
    flags = [
        "--disable-gpu",
        "--hide-scrollbars",
        "--disable-lcd-text",
        *(["--no-sandbox"] if os.geteuid() == 0 else []),
    ]
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium, args=flags)
            take_all(browser, folder)
            browser.close()
    except (OSError, ProofError) as error:
        sys.exit(f"The site or its simulated TMS did not start: {error}")


def take_all(
    browser: "Browser",
    folder: Path,
    sizes: dict[int, int] = SIZES,
    themes: Sequence[str] = THEMES,
    *,
    last: str = PICTURES[-1],
) -> None:
    """Start the site and take its pictures, to the `last`. Raise OSError or ProofError if it does not start."""
    with TemporaryDirectory() as place, _site(_prepared(Path(place))) as (server, tms, password):
        camera = Camera(folder, sizes, themes)
        for name, page in zip(PICTURES, _walk(browser, server.url, password, tms), strict=True):
            camera.take(page, name)
            if name == last:
                break


def _prepared(place: Path) -> Path:
    """Let Django find settings, of which only those of the site's own processes count."""
    import django

    ours = {"DJANGO_SETTINGS_MODULE": "tmsdash.settings", "ENV_FILE": os.devnull, "VAR_DIR": str(place / "unused")}
    for name, value in ours.items():
        os.environ.setdefault(name, value)
    django.setup()
    return place


@contextmanager
def _site(place: Path) -> "Iterator[tuple[Server, Simulator, str]]":
    """Run a site of its own, filled with made-up data; yields the password of all its accounts, too."""
    from setactions.devtools.demo_data.scenario import CLUSTERS
    from setactions.devtools.simulator import Simulator

    folder = place / "var"
    folder.mkdir(mode=0o700)
    with Simulator(port=int(os.environ.get("TMS_PORT", "9000"))) as tms:
        clusters = {"evian3": tms.url} | dict(zip(NAMES, CLUSTERS, strict=True))
        with Site(folder, clusters, **SETTINGS, AUDIT_SEAL_DIR=place / "seals") as site:
            if site.spawn("set-up", "migrate_all", "-v0").wait():
                raise ProofError(site.log("set-up"))
            output, _ = site.spawn("fill", "fill_demo_data", "--jobs", str(JOBS), piped=True).communicate()
            password = re.search(r"password (\S+)", output)
            if not password:
                raise ProofError(site.log("fill"))
            server = Server(site, 1)
            server.wait_until_healthy()
            yield server, tms, password[1]
            tms.release()
            server.stop()


def _walk(browser: "Browser", url: str, password: str, tms: "Simulator") -> Iterator["Page"]:
    """Do what the pictures show, as an operator and then as an auditor; yields the page of each of PICTURES."""
    from setactions.devtools.simulator import fleet_ids

    cids = fleet_ids(200)
    page = _signed_in(browser, url, "operator12", password)
    _fill_in(page, "PE-Enable", cids[:8])
    yield page
    _press(page, "Set Action", "Review before sending")
    page.get_by_label("Number of customers").fill("8")  # asked for on a production cluster
    _press(page, "Yes, Proceed", "Accepted")
    yield page
    attempt = page.url.rstrip("/").rpartition("/")[2]

    _fill_in(page, "T-Enable", cids[4:13])
    _press(page, "Set Action", "Review before sending")
    page.get_by_role("button", name="Compare with live state").click()
    page.get_by_role("button", name="Compare again").wait_for()
    yield page

    tms.script("fault:http:500")
    _fill_in(page, "T-Enable", cids[20:23])
    _press(page, "Set Action", "Review before sending")
    page.get_by_label("Number of customers").fill("3")
    _press(page, "Yes, Proceed", "Outcome unknown: do not send again")
    yield page

    tms.script("", "", "fault:unknown-ids:1", "", "", "", *["fault:slow:3600"] * 2)
    _fill_in(page, "PE-Enable", cids[40:160])
    _press(page, "Set Action", "Review before sending")
    page.get_by_label("Number of customers").fill("120")
    page.get_by_role("button", name="Yes, Proceed").click()
    tms.wait_for(lambda calls: [call.fault for call in calls].count("slow") == 2)
    page.reload()
    yield page
    page.goto("/activity/")
    yield page

    page = _signed_in(browser, url, "auditor", password)
    page.goto("/admin/jobs/job/")
    yield page
    page.goto(f"/admin/audit/attempt/?q={attempt}")
    page.locator("main table tbody a").first.click()
    page.get_by_role("heading", level=1).wait_for()
    yield page


def _signed_in(browser: "Browser", url: str, name: str, password: str) -> "Page":
    context = browser.new_context(base_url=url, locale="en-US", timezone_id="UTC", reduced_motion="reduce")
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    page.goto("/login/")
    page.locator("[name=username]").fill(name)
    page.locator("[name=password]").fill(password)
    page.locator("[name=password]").press("Enter")
    page.get_by_role("button", name="Sign out").wait_for()
    return page


def _fill_in(page: "Page", action: str, cids: Sequence[str]) -> None:
    page.goto("/")
    page.get_by_label("Cluster").select_option("evian3")
    page.get_by_label("Action").select_option(action)
    page.get_by_label("Bearer token").fill(TOKEN)
    page.get_by_label("Customer IDs").fill("\n".join(cids))
    page.locator("[name=note]").fill("CHG-4711, wave 3")


def _press(page: "Page", button: str, heading: str) -> None:
    page.get_by_role("button", name=button).click()
    page.get_by_role("heading", name=heading).wait_for()


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
