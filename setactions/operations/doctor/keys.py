"""The three keys: there, and those of the site, as its databases know them."""

from pathlib import Path

from django.conf import settings
from django.core import checks

from setactions.operations.doctor.findings import Finding, Findings, Well
from setactions.operations.doctor.site import Site
from setactions.operations.doctor.wrong_settings import KEYS
from tmsdash import key_files, site_keys


def look(site: Site) -> Findings:
    """Yield which key is missing, or is another one than the databases know."""
    missing = sorted(key_files.passing - site.loaded.wrong)
    is_named = not Path(settings.VAR_DIR).is_dir() and not site.answering  # by another topic: all of it is missing
    if missing and not is_named and "VAR_DIR" not in site.loaded.wrong:
        files = ", ".join(name.lower() for name in missing)
        mend = "manage.py migrate_all makes them for a new site."
        if site.answering:
            mend = (
                f"Copy {files} from the VAR_DIR of the site's first host into {settings.VAR_DIR}; or set {missing[0]}."
            )
        yield Finding("key.missing", f"There is no {files} in {settings.VAR_DIR}.", mend)
    unknown = key_files.passing | site.loaded.wrong
    messages = checks.run_checks(tags=[site_keys.TAG], databases=site.answering)
    for message in messages:
        if message.is_serious() and message.obj not in unknown:
            yield Finding("key.other", str(message.msg), str(message.hint))
    compared = {"default", "audit"} <= set(site.answering)
    if not KEYS & unknown:
        yield Well("the site's own" if compared else "there, and not compared, for want of a database")
