"""The help page: what a Set Action goes through, and what each outcome means, in the words that all pages use."""

from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from audit.choices import Action, Outcome

OUTCOMES = [outcome for outcome in Outcome if not outcome.is_legacy]


@login_not_required  # whoever cannot sign in needs it most
@require_safe
def help_page(request: HttpRequest) -> HttpResponse:
    """Show the page."""
    return render(request, "setactions/help.html", {"outcomes": OUTCOMES, "actions": [*Action]})
