"""Forms that arrive when their session is over, or with the security token of another one: nothing typed is lost.

1. The view of such a form names the fields that are kept. A token or a password is never one of them, and what looks
   like a token is cut out of the others.
2. The address that a form is posted to says whose page it was, signed. What is kept is sealed for that account alone:
   nobody else can open it, and nobody can make somebody else's.
3. The sealed form travels with the page to sign in. Only after its account has signed in is it stored, sealed as it is,
   for KEPT at most; the address of the form with `?kept=` then shows it filled in.
"""

import re
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import islice
from typing import Any, TypeVar
from urllib.parse import parse_qsl, urlencode, urlsplit

from django.conf import settings
from django.core import signing
from django.http import HttpRequest
from django.urls import Resolver404, resolve
from django.utils import timezone
from django.views.decorators.debug import sensitive_variables

from tmsdash.db.transactions import write_transaction
from tmsdash.models import KeptForm
from tmsdash.seals import BrokenSealError, open_seal, seal
from tmsdash.tokens import SECRET_LENGTH, without_token, without_tokens
from tmsdash.web.base_path import within

KEPT = timedelta(days=1)
KEPT_FORMS_OF_AN_ACCOUNT = 10
AUTHOR, KEPT_ID, SEALED = "author", "kept", "kept"  # in addresses, and in the form to sign in
MARGIN = 4 << 10  # bytes: for what else the form to sign in holds
MOST_WORDS = 8  # of what was typed for a token; more are no token, but a list in the wrong field
_PURPOSE = "kept form"
_WORD = re.compile(r"""[^\s"'`,;:{}]+""")
_author = signing.Signer(salt="tmsdash.web.kept_forms.author")
View = TypeVar("View", bound=Callable[..., Any])


@dataclass(frozen=True)
class Fields:
    """The fields of a form that are kept: `texts` as they are, `lists` of ids without long runs that may be tokens.

    The content of the file in the field `file` takes the place of the text `file_is`, if that is empty.
    """

    texts: Sequence[str] = ()
    lists: Sequence[str] = ()
    file: str = ""
    file_is: str = ""


@dataclass(frozen=True)
class Kept:
    """A form as it was kept. `file_name` is that of the file whose content it holds; `is_cut` tells of tokens."""

    fields: dict[str, str]
    file_name: str = ""
    lost_file: str = ""
    is_cut: bool = False


def keeps(fields: Fields) -> Callable[[View], View]:
    """Have what is posted to a view kept when it cannot be taken; on a GET the view shows it, see `kept_of`."""

    def marked(view: View) -> View:
        view.kept_fields = fields  # type: ignore[attr-defined]
        return view

    return marked


def authored(address: str, user: Any) -> str:
    """Return the address that a form of `user` is posted to, with whose it is."""
    return f"{address}{'&' if '?' in address else '?'}{urlencode({AUTHOR: _author.sign(str(user.pk))})}"


def author_of(request: HttpRequest) -> str:
    """Return the key of the account whose page posted this; "" if none of ours did."""
    try:
        return _author.unsign(request.GET.get(AUTHOR, ""))
    except signing.BadSignature:
        return ""


def is_from_this_site(request: HttpRequest) -> bool:
    """Tell whether a page of this site sent the request, which browsers say: a foreign one must plant nothing."""
    origin = request.headers.get("Origin")
    if not origin or origin == "null":
        parts = urlsplit(request.headers.get("Referer", ""))
        origin = f"{parts.scheme}://{parts.netloc}"
    return origin == f"{request.scheme}://{request.get_host()}" or origin in settings.CSRF_TRUSTED_ORIGINS


def without_author(address: str) -> str:
    """Return the address of a form without whose it is."""
    path, _, query = address.partition("?")
    rest = [(name, text) for name, text in parse_qsl(query, keep_blank_values=True) if name not in (AUTHOR, KEPT_ID)]
    return f"{path}?{urlencode(rest)}" if rest else path


@sensitive_variables()
def sealed_form(request: HttpRequest, address: str) -> str:
    """Return what was posted and is kept by the view at `address`, sealed; "" if there is nothing, or whose is unknown.

    Raises TooLongError if it does not fit into the form to sign in.
    """
    author, fields = author_of(request), _fields_at(address)
    if not author or fields is None or not is_from_this_site(request):
        return ""
    typed = request.POST.get("token", "")
    given = {name: request.POST.get(name, "") for name in (*fields.texts, *fields.lists)}
    file_name = lost_file = ""
    if upload := request.FILES.get(fields.file):
        content = _text_of(upload.read())
        if content is None or given[fields.file_is].strip():
            lost_file = upload.name or "the file"
        else:
            given[fields.file_is], file_name = content, upload.name or ""
    kept = dict(given)
    for token in _tokens_in(typed):
        kept |= {name: without_token(text, token) for name, text in kept.items()}
        kept |= {name: without_tokens(kept[name], token) for name in fields.lists}
    if not any(text.strip() for text in kept.values()):
        return ""
    names = [without_tokens(name) for name in (file_name, lost_file)]
    sealed = seal([address, kept, *names, kept != given], _PURPOSE, author, is_long=True)
    if len(sealed) > settings.DATA_UPLOAD_MAX_MEMORY_SIZE - MARGIN:
        raise TooLongError
    return sealed


@sensitive_variables()
def _tokens_in(typed: str) -> list[str]:
    """Return what may be the token in what was typed for one: people paste it in quotes, or with words around it.

    Each is looked for in all that was typed, so there are few of them.
    """
    words = (word[0] for word in _WORD.finditer(typed) if len(word[0]) >= SECRET_LENGTH)
    first = list(islice(words, MOST_WORDS + 1))
    return [typed.strip(), *(first if len(first) <= MOST_WORDS else ())]


class TooLongError(Exception):
    """What was posted does not fit into the form to sign in."""


def _fields_at(address: str) -> Fields | None:
    try:
        view = resolve(within(urlsplit(address).path)).func
    except Resolver404:
        return None
    return getattr(view, "kept_fields", None)


def _text_of(content: bytes) -> str | None:
    """Return a file's text; None for what no text field can hold."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return None
    return None if "\0" in text else text


def belongs_to(sealed: str, account: str) -> bool:
    """Tell whether a form was sealed for the account with this key."""
    return _opened(sealed, account) is not None


@sensitive_variables()
def keep(user: Any, sealed: str) -> str:
    """Store a sealed form for its user, who is signed in now, and return the address that shows it filled in.

    Returns "" for a form that is not this user's. Raises DatabaseError if the database cannot be written.
    """
    opened = _opened(sealed, str(user.pk))
    if opened is None:
        return ""
    now = timezone.now()
    form = KeptForm(account_id=user.pk, kept_at=now, content=sealed)
    with write_transaction("default"):
        form.save(force_insert=True)
        of_account = KeptForm.objects.filter(account_id=user.pk).order_by("-kept_at")
        KeptForm.objects.filter(pk__in=[*of_account.values_list("pk", flat=True)[KEPT_FORMS_OF_AN_ACCOUNT:]]).delete()
        KeptForm.objects.filter(kept_at__lt=now - KEPT).delete()
    address: str = opened[0]
    return f"{address}{'&' if '?' in address else '?'}{urlencode({KEPT_ID: form.form_id})}"


def kept_of(request: HttpRequest) -> Kept | None:
    """Return the form that an address with `?kept=` asks for; None if it has none, or it is gone, or another user's."""
    try:
        form_id = uuid.UUID(request.GET.get(KEPT_ID, ""))
    except ValueError:
        return None
    account = str(request.user.pk)
    form = KeptForm.objects.filter(pk=form_id, account_id=account, kept_at__gte=timezone.now() - KEPT).first()
    opened = _opened(form.content, account) if form else None
    return Kept(*opened[1:]) if opened and _path(opened[0]) == request.path else None


def _path(address: str) -> str:
    return urlsplit(address).path


def _opened(sealed: str, account: str) -> list[Any] | None:
    try:
        content: list[Any] = open_seal(sealed, _PURPOSE, account)[1]
    except BrokenSealError:
        return None
    return content
