"""Single sign-on, where there is one: the provider answers as the one of the settings, and its groups exist here."""

from django.conf import settings
from django.contrib.auth.models import Group

from audit.accounts.oidc.identities import STAFF
from audit.accounts.oidc.provider import UnreachableError, configuration, forget
from setactions.operations.doctor.findings import Finding, Findings, Well, note
from setactions.operations.doctor.site import Site


def look(site: Site) -> Findings:
    """Yield what keeps people from signing in with the provider, which is asked for its endpoints alone."""
    issuer = settings.OIDC_ISSUER_URL
    if not issuer:
        if settings.OIDC_CLIENT_ID or settings.OIDC_GROUPS:
            sentence = "There are settings of single sign-on without OIDC_ISSUER_URL, so there is none."
            yield note("sign_in.no_issuer", sentence, "OIDC_ISSUER_URL=https://… in .env, or take the others out of it")
        else:
            yield Well("with passwords alone")
        return
    forget()
    try:
        configuration()
    except UnreachableError:
        yield Finding(
            "sign_in.provider",
            f"{issuer} does not answer as the OpenID provider of that name, so nobody can sign in with it.",
            f"curl {issuer}/.well-known/openid-configuration shows why: its issuer has to be OIDC_ISSUER_URL, and an "
            "authority of your own belongs into OIDC_CA_BUNDLE in .env",
        )
    else:
        yield Well(f"with passwords, and with {settings.OIDC_NAME}")
    named = {target for _, target in settings.OIDC_GROUPS} - {STAFF}
    unknown = named - set(Group.objects.filter(name__in=named).values_list("name", flat=True))
    if unknown:
        names = ", ".join(sorted(unknown))
        yield Finding(
            "sign_in.groups",
            f"OIDC_GROUPS names groups that do not exist, so nobody gets into them: {names}.",
            "Make them under Groups in the admin, or correct OIDC_GROUPS in .env",
        )
