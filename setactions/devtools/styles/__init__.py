"""/styles/: every part that pages are made of, in light and dark, for whoever changes or checks how they look."""
