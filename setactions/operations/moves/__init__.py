"""Moving databases of an installation to another place, as a rule to another engine, with everything that they hold."""
