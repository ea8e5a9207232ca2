"""Second factors of accounts that sign in with a password here: codes of an app (TOTP), and codes for when it is lost.

1. A code counts once, and only after the right password. Wrong ones are throttled and audited as wrong passwords are,
   and after MOST_FAILURES in a row, from wherever, none is taken until an administrator has removed the factor.
2. What codes are made from is sealed in the database. A page shows it once, to whom it belongs.
3. Whoever has to have a factor and has none gets no further than the page that sets it up.
"""
