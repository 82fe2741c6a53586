"""Directories with a past: what is loaded where something was saved before, or was broken off."""
