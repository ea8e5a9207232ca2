"""The settings: wrong, misspelt, or such that nobody gets in."""

from django.conf import settings

from setactions.operations.doctor.findings import Finding, Findings, Well, note
from setactions.operations.doctor.site import Site
from tmsdash import env
from tmsdash.setting_names import misspelt


def look(site: Site) -> Findings:
    """Yield what is wrong with the settings themselves; other topics say what follows from them."""
    yield from site.loaded.findings
    if not site.loaded.is_complete:
        return
    for sentence in misspelt():
        meant = sentence.rpartition(" Is ")[2].partition(" meant?")[0] if sentence.endswith("meant?") else ""
        mend = f"Rename it to {meant}, or remove it." if meant else "Remove it; docs/settings.md lists all settings."
        yield Finding("setting.misspelt", sentence, mend)
    wrong = site.loaded.wrong
    if not wrong & {"ALLOWED_HOSTS", "HTTPS_ONLY", "TRUSTED_PROXIES"}:
        yield from _reach()
    if not settings.TMS_CLUSTERS and "TMS_CLUSTERS" not in wrong:
        sentence = "No cluster can be called: TMS_CLUSTERS is empty."
        yield Finding("clusters.none", sentence, "TMS_CLUSTERS=evian3=https://tms.evian3.example in .env")
    names = len(set(env.file_lines) & env.read_names)
    yield Well(f"{names} of {settings.ENV_PATH}" if settings.ENV_PATH else "of the environment alone; no file is read")


def _reach() -> Findings:
    if env.LOOPBACK_NAMES.issuperset(settings.ALLOWED_HOSTS):
        sentence = "Only this machine can reach the site: ALLOWED_HOSTS holds nothing but loopback names."
        make = Finding if settings.TRUSTED_PROXIES else note  # nobody has a proxy for this machine alone
        yield make("hosts.loopback", sentence, "ALLOWED_HOSTS=tms-dashboard.example in .env")
    elif not settings.HTTPS_ONLY:
        sentence = "HTTPS_ONLY is off, so passwords and tokens cross the network in the open."
        yield Finding("https.off", sentence, "Remove HTTPS_ONLY=false from .env; docs/operating.md: the HTTPS proxy")
    if settings.HTTPS_ONLY and not settings.TRUSTED_PROXIES:
        sentence = "HTTPS_ONLY is on, and no proxy is trusted: browsers would be redirected to HTTPS for ever."
        yield Finding("https.no_proxy", sentence, "TRUSTED_PROXIES=127.0.0.1 in .env (the address of the HTTPS proxy)")
