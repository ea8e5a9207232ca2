"""Backup and restore of the three databases together, as they were at one moment, whichever engines they are on."""
