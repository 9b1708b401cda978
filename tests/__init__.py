"""Tests of icerelay; the folders mirror the packages."""
