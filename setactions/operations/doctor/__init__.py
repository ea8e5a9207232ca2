"""What is wrong with an installation, in words, each with the command or the line of .env that mends it.

1. It only looks: no file is made or changed, no database written to, and of a cluster only `/` is asked for, never
   what lies below `/tms/`.
2. It needs no installation that works. A wrong setting is a finding, and what depends on it is left out.
3. It ends: what is looked at gets some seconds, all at once, and what has not answered by then is named.
4. What a system check finds is not looked for twice: `checks` runs them all.
"""
