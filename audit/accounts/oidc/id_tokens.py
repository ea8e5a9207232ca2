"""ID tokens: what the provider signed about who signs in, and whether it is for this sign-in at this site."""

from typing import Any

import jwt
from allauth.socialaccount.adapter import get_adapter
from django.conf import settings
from django.views.decorators.debug import sensitive_variables

from audit.accounts.oidc.provider import RejectedError, assert_ok
from tmsdash.clocks import CLOCK_SKEW_S

# Signatures with a key of the provider's alone: none at all, or the client's secret (HS256), prove nothing here.
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
NEEDED = ("iss", "sub", "aud", "exp", "iat", "nonce")
_REASONS: dict[type[Exception], str] = {
    jwt.ExpiredSignatureError: "its time is over",
    jwt.ImmatureSignatureError: "its time is yet to come",
    jwt.InvalidAudienceError: "it is for another site",
    jwt.InvalidIssuerError: "it is another provider's",
    jwt.InvalidSignatureError: "its signature is wrong",
    jwt.MissingRequiredClaimError: "a claim is missing",
}


@sensitive_variables()
def verified(id_token: str, nonce: str, config: dict[str, Any]) -> dict[str, Any]:
    """Return the claims of an ID token. Raises RejectedError if it proves nothing, RequestException without keys."""
    try:
        header = jwt.get_unverified_header(id_token)
        key = _key(str(config["jwks_uri"]), header.get("kid"))
        claims: dict[str, Any] = jwt.decode(
            id_token,
            key,
            algorithms=ALGORITHMS,
            audience=settings.OIDC_CLIENT_ID,
            issuer=config["issuer"],
            leeway=CLOCK_SKEW_S,
            options={"require": list(NEEDED)},
        )
    except jwt.PyJWTError as error:
        raise RejectedError(_REASONS.get(type(error), "its ID token is not one")) from None
    if claims["nonce"] != nonce:
        raise RejectedError("it was made for another sign-in")
    if claims.get("azp", settings.OIDC_CLIENT_ID) != settings.OIDC_CLIENT_ID:
        raise RejectedError("it is for another site")
    return claims


def _key(keys_url: str, kid: Any) -> jwt.PyJWK:
    with get_adapter().get_requests_session() as session:
        answer = session.get(keys_url)
    assert_ok(answer)
    keys = [key for key in jwt.PyJWKSet.from_dict(answer.json()).keys if key.public_key_use in (None, "sig")]
    fitting = [key for key in keys if kid in (None, key.key_id)]
    if len(fitting) != 1:
        raise RejectedError("it is signed with a key that is not the provider's")
    return fitting[0]
