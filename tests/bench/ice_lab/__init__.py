"""Tests of the ICE lab."""
