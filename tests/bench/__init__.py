"""Tests of the measuring programs: they are not run by anybody for weeks, and shall work then."""
