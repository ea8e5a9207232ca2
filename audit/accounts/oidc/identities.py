"""Whose account an identity of the provider's is, and what its groups there make of it here.

An identity is an issuer and a subject, which never change. An account that exists is taken by an identity in one case:
an administrator has said that it may be, and then by the first one of the account's name.
"""

from dataclasses import dataclass, replace
from typing import Any

from allauth.socialaccount.models import SocialAccount
from django.conf import settings
from django.contrib.auth.models import Group, User
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import transaction

from audit.accounts.changes import facts_of, record_change
from audit.accounts.oidc.provider import RejectedError, claim_at
from audit.actors import Actor
from tmsdash.accounts import AUDITORS, OPERATORS
from tmsdash.tokens import looks_like_token
from tmsdash.user_names import check_new_name

STAFF = "staff"  # in OIDC_GROUPS beside the groups: who may open the admin
_WAITING = "by name at "  # before the issuer, where the name stands for a subject that is not known yet
_NAME_LENGTH, SUBJECT_LENGTH = 150, 191


class RefusedError(Exception):
    """Somebody whom the provider knows has no way in; str() says why and what to do."""


@dataclass(frozen=True)
class Identity:
    """What the provider says of somebody."""

    subject: str
    name: str
    email: str
    first_name: str
    last_name: str
    groups: frozenset[str]

    @classmethod
    def of(cls, claims: dict[str, Any]) -> "Identity":
        """Return it from the provider's claims. What is of another kind than it should be counts as missing.

        Raises RejectedError if there is no subject.
        """
        listed = claim_at(claims, settings.OIDC_GROUPS_CLAIM)
        listed = [listed] if isinstance(listed, str) else listed if isinstance(listed, list) else []
        name = claim_at(claims, settings.OIDC_USERNAME_CLAIM)
        subject = claims["sub"]
        if not (isinstance(subject, str) and subject.isprintable() and 0 < len(subject) <= SUBJECT_LENGTH):
            raise RejectedError("it names nobody")
        return cls(
            subject,
            _name(name),
            _mail(claims.get("email")),
            _text(claims.get("given_name")),
            _text(claims.get("family_name")),
            frozenset(group for group in listed if isinstance(group, str)),
        )


def account_of(identity: Identity, actor: Actor) -> User:
    """Return the account of an identity, with the groups that it has by now; make it, if there is none yet.

    Raises RefusedError, and DatabaseError if what changes cannot be written to the audit. Nothing is changed then, but
    for groups that somebody is no longer in.
    """
    with transaction.atomic(using="default"):
        user = _linked(identity, actor)
        known = user is not None
        if user:  # whatever name the identity has by now
            actor = replace(actor, user_id=user.get_username())
        else:
            _assert_may_be_new(identity)
            user = User(username=identity.name, email=identity.email)
            user.first_name, user.last_name = identity.first_name, identity.last_name
            user.set_unusable_password()
            user.save(using="default")
            SocialAccount.objects.create(user=user, provider=settings.OIDC_ISSUER_URL, uid=identity.subject)
        before = facts_of(user) if known else None
        _set_groups(user, identity)
        after = facts_of(User.objects.get(pk=user.pk))
        if before is None:
            record_change(actor, user, "added", after=after, by="oidc")
        elif before != after:
            record_change(actor, user, "changed", fields=["groups"], before=before, after=after, by="oidc")
    if not user.is_active:
        raise RefusedError("Your account is switched off here. Ask an administrator to switch it on.")
    if not _is_in_any_group(identity):
        raise RefusedError(_in_no_group())
    return user


def _linked(identity: Identity, actor: Actor) -> User | None:
    """Return the account that the identity has, or takes now because it waits for this name."""
    link = SocialAccount.objects.filter(provider=settings.OIDC_ISSUER_URL, uid=identity.subject).first()
    if link:
        return User.objects.get(pk=link.user_id)
    waiting = SocialAccount.objects.filter(provider=_waiting_for_name(), uid=identity.name).first()
    if waiting is None:
        return None
    user = User.objects.get(pk=waiting.user_id)
    waiting.provider, waiting.uid = settings.OIDC_ISSUER_URL, identity.subject
    waiting.save(using="default")
    record_change(actor, user, "linked to its identity", by="oidc")
    return user


def _assert_may_be_new(identity: Identity) -> None:
    if not _is_in_any_group(identity):
        raise RefusedError(_in_no_group())
    if User.objects.filter(username__iexact=identity.name).exists():
        raise RefusedError(
            "There is an account of your name here that has nothing to do with it yet. Ask an administrator to let "
            "it sign in this way."
        )
    try:
        check_new_name(identity.name)
    except ValidationError as wrong:
        raise RefusedError(
            f"Your name there cannot be one here. {' '.join(wrong.messages)} Ask an administrator."
        ) from None


def _set_groups(user: User, identity: Identity) -> None:
    """Put the account into the groups that OIDC_GROUPS names for it, and out of the others that it names."""
    named = {target for _, target in settings.OIDC_GROUPS}
    granted = {target for value, target in settings.OIDC_GROUPS if value in identity.groups}
    if AUDITORS in granted:  # who looks at others sends nothing
        granted.discard(OPERATORS)
    if STAFF in named and user.is_staff != (STAFF in granted):
        user.is_staff = STAFF in granted
        user.save(using="default", update_fields=["is_staff"])
    groups = {group.name: group for group in Group.objects.filter(name__in=named)}
    user.groups.remove(*(group for name, group in groups.items() if name not in granted))
    user.groups.add(*(group for name, group in groups.items() if name in granted))


def _is_in_any_group(identity: Identity) -> bool:
    """Tell whether somebody may be here at all: without OIDC_GROUPS everybody whom the provider lets in."""
    return not settings.OIDC_GROUPS or any(value in identity.groups for value, _ in settings.OIDC_GROUPS)


def _in_no_group() -> str:
    return f"At {settings.OIDC_NAME} you are in none of the groups that may use this site. Ask an administrator."


def _name(value: Any) -> str:
    """Return a name as it is, and none for one that is another without its ends: accounts are told apart by it."""
    return value if isinstance(value, str) and value == _text(value) else ""


def _text(value: Any) -> str:
    is_name = isinstance(value, str) and value.isprintable() and not looks_like_token(value)
    return value.strip()[:_NAME_LENGTH] if is_name else ""


def _mail(value: Any) -> str:
    text = value if isinstance(value, str) else ""
    try:
        validate_email(text)
    except ValidationError:
        return ""
    return text if len(text) <= 254 and not looks_like_token(text) else ""


# -- What administrators say ------------------------------------------------------------------------------------------


def _waiting_for_name() -> str:
    return f"{_WAITING}{settings.OIDC_ISSUER_URL}"


def link(user: User) -> bool:
    """Let the identity of the account's name take the account at its next sign-in; False if it has one already."""
    if SocialAccount.objects.filter(user=user, provider__endswith=settings.OIDC_ISSUER_URL).exists():
        return False
    SocialAccount.objects.create(user=user, provider=_waiting_for_name(), uid=user.username)
    return True


def unlink(user: User) -> bool:
    """Take the account's identity away; False if it has none."""
    return bool(SocialAccount.objects.filter(user=user).delete()[0])


def link_in_words(user: User) -> str:
    """Return whether the account signs in with the provider."""
    providers = set(SocialAccount.objects.filter(user=user).values_list("provider", flat=True))
    if settings.OIDC_ISSUER_URL in providers:
        return f"with {settings.OIDC_NAME}"
    return f"with {settings.OIDC_NAME} from its next sign-in on" if _waiting_for_name() in providers else "no"
