"""Single sign-on: people sign in with an OpenID provider, beside the accounts that have a password here.

1. The provider vouches for a subject. Which account that is, the table of identities says, and nobody's mail or name.
   An account that exists is taken only if an administrator has linked it (`identities`).
2. Each answer is for one sign-in of one browser: state, nonce and PKCE are in a sealed cookie, for ten minutes. The ID
   token's signature, issuer, audience and times are checked whatever way it came (`provider`).
3. Nothing that the provider sends is kept, but for the subject, the name, the address of mail, and which groups of ours
   the account is in. Tokens are in no database, session, page or log.
4. Whoever is not signed in makes the server store nothing.
"""
